"""One's own account: name, zone, appearance, password, sessions, tenants."""

import uuid

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, signed_in, viewer
from app.errors import InvalidError
from app.extensions import settings
from app.forms.accounts import ChangePasswordForm, NotificationForm, ProfileForm
from app.htmx import go, render
from app.services import accounts, notices, sessions
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction

blueprint = Blueprint("profile", __name__, url_prefix="/profile")


@blueprint.get("")
@signed_in
def show() -> Response:
    return _page()


def _page(
    form: ProfileForm | None = None, password_form: ChangePasswordForm | None = None, status: int = 200
) -> Response:
    who = viewer()
    return render(
        "profile/show.html", status=status,
        form=form or ProfileForm(formdata=None, data={"name": who.user.name, "zone": who.user.zone or "", "theme": who.user.theme}),
        password_form=password_form or ChangePasswordForm(formdata=None),
        notification_form=_notification_form(),
        sessions=sessions.list_sessions(who.user.id), tenants=accounts.list_tenants(who.user.id),
    )  # fmt: skip


def _notification_form() -> NotificationForm | None:
    who = viewer()
    if who.tenant is None:
        return None
    return NotificationForm(formdata=None, data={"preference": notices.preference(who.tenant.id, who.user.id)})


@blueprint.post("/notifications")
@requires("member")
def save_notifications() -> Response:
    form, who = NotificationForm(), viewer()
    if form.validate_on_submit():
        with transaction():
            notices.save_preference(who.tenant_id, who.user.id, form.preference.data)
        flash("Saved: this is what you are told.")
    return go("/notifications" if request.form.get("from") == "notifications" else "/profile")


@blueprint.post("")
@signed_in
def update() -> Response:
    form = ProfileForm()
    if not form.validate_on_submit():
        return _page(form=form, status=422)
    with transaction():
        accounts.save_profile(viewer().user.id, name=form.name.data, zone=form.zone.data, theme=form.theme.data)
    flash("Your profile is saved.")
    response = go("/profile")
    response.set_cookie("pb_theme", form.theme.data, max_age=31_536_000, secure=settings().secure, samesite="Lax")
    return response


@blueprint.post("/password")
@signed_in
def change_password() -> Response:
    form, who = ChangePasswordForm(), viewer()
    if not form.validate_on_submit():
        return _page(password_form=form, status=422)
    try:
        with bind_tenant(PLATFORM_TENANT, who.user.id), transaction():
            accounts.change_password(who.user.id, form.old.data, form.password.data)
            sessions.forget_all(who.user.id, keep=who.session_id)
    except InvalidError as error:
        form.old.errors = [error.fields.get("old", error.message)]
        return _page(password_form=form, status=422)
    flash("Your password is changed. Other sessions have ended.")
    return go("/profile")


@blueprint.post("/sessions/<uuid:session_id>/end")
@signed_in
def end_session(session_id: uuid.UUID) -> Response:
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        sessions.end_session(session_id)
    flash("The session has ended.")
    return go("/profile")


@blueprint.post("/sessions/end-others")
@signed_in
def end_other_sessions() -> Response:
    who = viewer()
    with bind_tenant(PLATFORM_TENANT, who.user.id), transaction():
        count = sessions.end_others(who.user.id, who.session_id)
    flash(
        "You are signed in only here."
        if not count
        else f"{count} other {'session has' if count == 1 else 'sessions have'} ended."
    )
    return go("/profile")


@blueprint.post("/verify")
@signed_in
def verify() -> Response:
    who = viewer()
    if who.user.email_verified_at is None:
        # Staff may belong to no tenant: their mail is the platform's.
        tenant_id = who.tenant.id if who.tenant else PLATFORM_TENANT
        with bind_tenant(tenant_id, who.user.id), transaction():
            accounts.send_verification(tenant_id, who.user)
    flash(f"A link is on its way to {who.user.email}.")
    return go("/profile")
