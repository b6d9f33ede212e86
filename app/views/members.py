"""Members of the tenant: who they are, what they may do, who is invited."""

import uuid

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import CAPABILITIES, requires, viewer
from app.errors import AppError
from app.extensions import settings
from app.forms.accounts import InviteForm, SupportGrantForm
from app.htmx import go, render
from app.services import accounts, invitations, support_grants
from app.transaction import transaction

blueprint = Blueprint("members", __name__, url_prefix="/members")
_SIZE = 50


@blueprint.get("")
@requires("member")
def index() -> Response:
    return _page(InviteForm())


def _page(
    form: InviteForm, link: str = "", message: str = "", status: int = 200, support_form: SupportGrantForm | None = None
) -> Response:
    tenant_id, q = viewer().tenant_id, request.args.get("q", "").replace("\0", "")[:100].strip()
    after = request.args.get("after", type=uuid.UUID)
    found = accounts.list_members(tenant_id, part=q, after=after, limit=_SIZE + 1)
    return render(
        "members/index.html", status=status, form=form, link=link, message=message, q=q, count=accounts.count_members(tenant_id),
        members=found[:_SIZE], after=found[_SIZE - 1][0].id if len(found) > _SIZE else None, invitations=invitations.list_open(tenant_id),
        capabilities=CAPABILITIES,
        support_form=support_form or SupportGrantForm(formdata=None), grant=support_grants.find_live(tenant_id),
    )  # fmt: skip


@blueprint.post("/invitations")
@requires("admin")
def invite() -> Response:
    form, who = InviteForm(), viewer()
    if not form.validate_on_submit():
        return _page(form, status=422)
    if form.role.data == "owner" and not who.may("owner"):
        return _page(form, message="Only an owner can invite an owner.", status=422)
    assert who.tenant is not None
    with transaction():
        token = invitations.invite(who.tenant_id, who.tenant.name, form.email.data, form.role.data, user=who.user)
    return _page(InviteForm(formdata=None), link=f"{settings().base_url}/invitations/{token}")


@blueprint.post("/invitations/<uuid:invitation_id>/revoke")
@requires("admin")
def revoke(invitation_id: uuid.UUID) -> Response:
    with transaction():
        invitations.revoke(viewer().tenant_id, invitation_id)
    flash("The invitation is taken back.")
    return go("/members")


@blueprint.post("/<uuid:membership_id>/role")
@requires("admin")
def change_role(membership_id: uuid.UUID) -> Response:
    role, who = request.form.get("role", ""), viewer()
    if role in ("owner", "admin", "member"):
        try:
            with transaction():
                accounts.change_role(who.tenant_id, membership_id, role, by=who.role or "")
            flash("The role is changed.")
        except AppError as error:
            return _page(InviteForm(), message=error.message, status=422)
    return go("/members")


@blueprint.post("/<uuid:membership_id>/remove")
@requires("admin")
def remove(membership_id: uuid.UUID) -> Response:
    who = viewer()
    try:
        with transaction():
            accounts.remove_member(who.tenant_id, membership_id, by=who.role or "")
    except AppError as error:
        return _page(InviteForm(), message=error.message, status=422)
    flash("The person is no longer a member.")
    return go("/members")


@blueprint.post("/support")
@requires("admin")
def grant_support() -> Response:
    form, who = SupportGrantForm(), viewer()
    if not form.validate_on_submit():
        return _page(InviteForm(formdata=None), status=422, support_form=form)
    with transaction():
        support_grants.grant(who.tenant_id, who.user.id, hours=int(form.hours.data), reason=form.reason.data)
    flash("Support can read your installations from now on.")
    return go("/members")


@blueprint.post("/support/end")
@requires("admin")
def end_support() -> Response:
    with transaction():
        support_grants.end(viewer().tenant_id)
    flash("Support can no longer read anything.")
    return go("/members")
