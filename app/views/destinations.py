"""Notifications: what one is told oneself, and the destinations of the tenant beside e-mail."""

import uuid
from collections.abc import Callable

from flask import Blueprint, flash
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError, ConflictError
from app.forms.accounts import NotificationForm
from app.forms.destinations import DestinationForm
from app.forms.refusals import refuse
from app.htmx import go, render, stop_polling
from app.models.destinations import Destination
from app.services import accounts, destinations, notices, signing_secrets
from app.services.destinations import Wish
from app.sync.notices import preference_of
from app.transaction import transaction

blueprint = Blueprint("destinations", __name__, url_prefix="/notifications")


@blueprint.get("")
@requires("member")
def index() -> Response:
    who = viewer()
    preference = notices.preference(who.tenant_id, who.user.id)
    # What colleagues are told is shown to whoever looks after them.
    members = accounts.list_members(who.tenant_id) if who.may("admin") else []
    return render(
        "destinations/index.html", rows=destinations.list_destinations(who.tenant_id),
        form=NotificationForm(formdata=None, data={"preference": preference}),
        people=[(user, preference_of(member.notify, member.role)) for member, user in members],
    )  # fmt: skip


def _form_page(form: DestinationForm, row: Destination | None = None, message: str = "", status: int = 200) -> Response:
    return render("destinations/edit.html", form=form, row=row, message=message, status=status)


def _wish(form: DestinationForm) -> Wish:
    return Wish(form.name.data or "", form.preference.data or "", form.url.data or "")


def _refused(form: DestinationForm, error: AppError, row: Destination | None = None) -> Response:
    return _form_page(form, row, refuse(form, error), error.status)


@blueprint.get("/new")
@requires("admin")
def new() -> Response:
    return _form_page(DestinationForm(formdata=None))


@blueprint.post("/new")
@requires("admin")
def create() -> Response:
    form, who = DestinationForm(), viewer()
    if not form.validate_on_submit():
        return _form_page(form, status=422)
    try:
        with transaction():
            made, secret = destinations.create(who.tenant_id, form.kind.data, _wish(form), user_id=who.user.id)
    except AppError as error:
        return _refused(form, error)
    return _page(made.id, secret=secret or "")


@blueprint.get("/<uuid:destination_id>")
@requires("admin")
def show(destination_id: uuid.UUID) -> Response:
    return _page(destination_id)


def _page(destination_id: uuid.UUID, *, secret: str = "", message: str = "", status: int = 200) -> Response:
    tenant_id = viewer().tenant_id
    row = destinations.get_destination(tenant_id, destination_id)
    log = destinations.list_notices(tenant_id, destination_id)
    # A test is answered within moments: the log looks again until it is.
    pending = any(notice.state == "waiting" and not notice.content for notice in log)
    response = render(
        "destinations/show.html", "destinations/_log.html", row=row, log=log, pending=pending, secret=secret,
        old_until=signing_secrets.old_until(row), message=message, status=status,
    )  # fmt: skip
    return response if pending else stop_polling(response)


@blueprint.get("/<uuid:destination_id>/edit")
@requires("admin")
def edit(destination_id: uuid.UUID) -> Response:
    row = destinations.get_destination(viewer().tenant_id, destination_id)
    known = {"kind": row.kind, "name": row.name, "preference": row.preference}
    return _form_page(DestinationForm(formdata=None, data=known), row)


@blueprint.post("/<uuid:destination_id>/edit")
@requires("admin")
def change(destination_id: uuid.UUID) -> Response:
    form, tenant_id = DestinationForm(), viewer().tenant_id
    row = destinations.get_destination(tenant_id, destination_id)
    if not form.validate_on_submit():
        return _form_page(form, row, status=422)
    try:
        with transaction():
            destinations.change(tenant_id, destination_id, _wish(form))
    except AppError as error:
        return _refused(form, error, row)
    flash("The destination is saved.")
    return go(f"/notifications/{destination_id}")


@blueprint.post("/<uuid:destination_id>/test")
@requires("admin")
def test(destination_id: uuid.UUID) -> Response:
    return _act(destination_id, destinations.send_test, "A test message is on its way.")


@blueprint.post("/<uuid:destination_id>/rotate")
@requires("admin")
def rotate(destination_id: uuid.UUID) -> Response:
    try:
        with transaction():
            secret = destinations.rotate(viewer().tenant_id, destination_id)
    except ConflictError as error:
        return _page(destination_id, message=error.message, status=409)
    return _page(destination_id, secret=secret)


@blueprint.post("/<uuid:destination_id>/disable")
@requires("admin")
def disable(destination_id: uuid.UUID) -> Response:
    return _act(destination_id, destinations.disable, "Switched off: nothing is sent there.")


@blueprint.post("/<uuid:destination_id>/enable")
@requires("admin")
def enable(destination_id: uuid.UUID) -> Response:
    return _act(destination_id, destinations.enable, "Switched on: it is told of what happens from now on.")


@blueprint.post("/<uuid:destination_id>/remove")
@requires("admin")
def remove(destination_id: uuid.UUID) -> Response:
    with transaction():
        destinations.remove(viewer().tenant_id, destination_id)
    flash("The destination is removed.")
    return go("/notifications")


def _act(destination_id: uuid.UUID, act: Callable[[uuid.UUID, uuid.UUID], None], said: str) -> Response:
    try:
        with transaction():
            act(viewer().tenant_id, destination_id)
    except AppError as error:
        if error.status != 409:
            raise
        return _page(destination_id, message=error.message, status=409)
    flash(said)
    return go(f"/notifications/{destination_id}")
