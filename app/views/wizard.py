"""The four steps from a draft to a running sync: connect, configure, map fields, activate."""

import uuid
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError, InvalidError, NotFoundError
from app.extensions import settings
from app.forms.connector_config import config_form
from app.forms.refusals import refuse
from app.htmx import go, render, stop_polling
from app.services import connections, dry_runs, installations, listings
from app.transaction import transaction
from app.views import configure_step
from app.views.dry_runs import parts, until_over
from connectors.sdk import Manifest
from connectors.sdk.manifest import Auth

blueprint = Blueprint("wizard", __name__, url_prefix="/installations/<uuid:installation_id>/setup")


def _open(installation_id: uuid.UUID) -> dict[str, Any]:
    tenant_id = viewer().tenant_id
    installation = installations.get_installation(tenant_id, installation_id)
    if installation.state == "removed":
        raise NotFoundError("This installation has been removed.")
    return {
        "installation": installation,
        "connection": connections.get_connection(tenant_id, installation.connection_id),
        "manifest": listings.manifest_of(installation.listing_version_id),
        "host_name": settings().host_name,
    }


def _address(installation_id: uuid.UUID, step: str) -> str:
    return f"/installations/{installation_id}/setup/{step}"


def _auth(manifest: Manifest, connection: Any) -> Auth:
    """Return the way to authorise: the one chosen on the page, else the one in use."""
    return manifest.auth_for({"auth": request.values.get("auth") or connection.settings.get("auth")})


@blueprint.get("/<any(connect, configure, map, activate):step>")
@requires("admin")
def show(installation_id: uuid.UUID, step: str) -> Response:
    context = _open(installation_id)
    if step == "configure" and context["installation"].state != "setting_up":
        return go(f"/installations/{installation_id}/settings")
    # A step is tested before the next: without a working connection there is nothing to choose from.
    if step != "connect" and context["connection"].state != "ready":
        return go(_address(installation_id, "connect"))
    return _PAGES[step](context)


def _connect_page(context: dict[str, Any], form: Any = None, status: int = 200, message: str = "") -> Response:
    connection, manifest = context["connection"], context["manifest"]
    present = dict(connection.settings)
    if settings().sandbox_url and manifest.slug == "sandbox":
        present.setdefault("server", settings().sandbox_url)
    auth = _auth(manifest, connection)
    fields = manifest.config_for(auth, "connect")
    # The secrets of one way to authorise are not those of another.
    known = connection.account_id is not None and auth == manifest.auth_for(connection.settings)
    form = form or config_form(fields, present, keep_secrets=known)
    response = render(
        "wizard/connect.html", "wizard/_connect_status.html", status=status, step="connect", form=form,
        fields=fields, auth=auth, left_out=connection.settings.get("left_out") or [], message=message, **context,
    )  # fmt: skip
    return stop_polling(response) if connection.state != "testing" else response


@blueprint.post("/connect")
@requires("admin")
def connect(installation_id: uuid.UUID) -> Response:
    context, who = _open(installation_id), viewer()
    connection, manifest = context["connection"], context["manifest"]
    auth = _auth(manifest, connection)
    fields = manifest.config_for(auth, "connect")
    known = connection.account_id is not None and auth == manifest.auth_for(connection.settings)
    form = config_form(fields, connection.settings, keep_secrets=known)
    if not form.validate_on_submit():
        return _connect_page(context, form, 422)
    secret = set(manifest.secret_fields())
    plain = {f.name: form[f.name].data for f in fields if f.name not in secret}
    sealed = {name: form[name].data for name in secret if name in form}
    plain |= {"auth": auth.name, "left_out": _left_out(auth)}
    oauth = auth.kind == "oauth2"
    try:
        with transaction():
            if oauth:
                connections.save_settings(connections.get_connection(who.tenant_id, connection.id), manifest, plain)
            else:
                connections.save_credentials(who.tenant_id, connection.id, manifest, plain, sealed, user_id=who.user.id)
    except InvalidError as error:
        refuse(form, error)
        return _connect_page(_open(installation_id), form, 422)
    if oauth:
        # Not a redirect: browsers apply form-action to every redirect that follows a form.
        return render("wizard/leave.html", address=f"/oauth/start/{installation_id}", name=manifest.listing.name)
    return go(_address(installation_id, "connect"))


def _left_out(auth: Auth) -> list[str]:
    wanted = request.form.getlist("scopes")
    return [scope.name for scope in auth.scopes if scope.optional and scope.name not in wanted]


@blueprint.post("/configure")
@requires("admin")
def configure(installation_id: uuid.UUID) -> Response:
    context = _open(installation_id)
    if context["installation"].state != "setting_up":
        return go(f"/installations/{installation_id}/settings")
    return configure_step.save(context) or go(_address(installation_id, "map"))


def _map_page(context: dict[str, Any]) -> Response:
    tenant_id, installation = viewer().tenant_id, context["installation"]
    streams = [s for s in installations.list_streams(tenant_id, installation.id) if s.enabled]
    return go(f"/installations/{installation.id}/mapping/{streams[0].stream}?setup=1")


@blueprint.post("/map")
@requires("admin")
def confirm_map(installation_id: uuid.UUID) -> Response:
    with transaction():
        installations.set_step(viewer().tenant_id, installation_id, "activate")
    return go(_address(installation_id, "activate"))


def _activate_page(context: dict[str, Any], status: int = 200, message: str = "", fix: str = "") -> Response:
    tenant_id, installation = viewer().tenant_id, context["installation"]
    address = _address(installation.id, "activate")
    if installation.state != "setting_up":
        return go(f"/installations/{installation.id}/dry-run")
    dry = dry_runs.find_latest(tenant_id, installation.id)
    if dry is None or not dry.fits:
        # Asked for by opening the page, and anew when something it depends on has been changed.
        try:
            with transaction():
                dry_runs.start(tenant_id, installation.id)
        except AppError as error:
            message, fix = message or error.message, fix or error.fix
        dry = dry_runs.find_latest(tenant_id, installation.id)
    response = render(
        "wizard/activate.html", "dry_runs/_dry_run.html", status=status, step="activate", message=message, fix=fix,
        streams=[s for s in installations.list_streams(tenant_id, installation.id) if s.enabled],
        schedule=installations.get_schedule(tenant_id, installation.id), **{**context, **parts(dry, address)},
    )  # fmt: skip
    return until_over(response, dry) if status == 200 else response


@blueprint.post("/activate")
@requires("admin")
def activate(installation_id: uuid.UUID) -> Response:
    who = viewer()
    try:
        with transaction():
            # Sent twice, it is the first run that is held to the dry run.
            if installations.get_installation(who.tenant_id, installation_id).state == "setting_up":
                dry_runs.keep(who.tenant_id, installation_id)
            installations.activate(who.tenant_id, installation_id, user_id=who.user.id)
    except AppError as error:
        return _activate_page(_open(installation_id), error.status, error.message, error.fix)
    return go(f"/installations/{installation_id}")


@blueprint.post("/discard")
@requires("admin")
def discard(installation_id: uuid.UUID) -> Response:
    with transaction():
        installations.remove(viewer().tenant_id, installation_id, delete_records=False)
    return go("/installations")


_PAGES = {"connect": _connect_page, "configure": configure_step.show, "map": _map_page, "activate": _activate_page}
