"""OAuth: leave for the vendor's consent page, come back with a code for the worker."""

import uuid

from flask import Blueprint, redirect, request
from werkzeug.wrappers import Response

from app.access import Viewer, requires, signed_in, viewer
from app.errors import NotFoundError
from app.extensions import settings
from app.htmx import go
from app.services import audit, installations, listings, oauth
from app.tenancy import bind_tenant
from app.transaction import transaction

blueprint = Blueprint("oauth", __name__, url_prefix="/oauth")


@blueprint.get("/start/<uuid:installation_id>")
@requires("admin")
def start(installation_id: uuid.UUID) -> Response:
    who = viewer()
    with transaction():
        installation = installations.get_installation(who.tenant_id, installation_id)
        connector = listings.connector_of(installation.listing_version_id)
        address = oauth.begin(
            who.tenant_id, installation_id, connector, session_id=who.session_id, user_id=who.user.id,
            redirect_uri=f"{settings().base_url}/oauth/callback/{installation.connector}",
        )  # fmt: skip
    return redirect(address, 303)


@blueprint.get("/callback/<slug>")
@signed_in
def callback(slug: str) -> Response:
    who = viewer()
    try:
        return _take(slug, who)
    except NotFoundError as error:
        if who.tenant is not None:
            with transaction():
                audit.write(who.tenant.id, "connection.refused", "connector", slug, slug, reason=error.code)
        raise


def _take(slug: str, who: Viewer) -> Response:
    found = oauth.tenant_of_state(request.args.get("state", ""))
    if found is None:
        raise oauth.bad_state()
    tenant_id, state_id = found
    listing = listings.get_listing(slug)
    assert listing.current_version is not None
    connector = listings.connector_of(listing.current_version)
    # The tenant is that of the state row; it must be the session's own user who began it.
    with bind_tenant(tenant_id, who.user.id), transaction():
        if request.args.get("error"):
            installation_id = oauth.deny(
                tenant_id, state_id, session_id=who.session_id, user_id=who.user.id, connector=connector
            )
        else:
            installation_id = oauth.take_callback(
                tenant_id, state_id, session_id=who.session_id, user_id=who.user.id, connector=connector,
                code=request.args.get("code", ""), issuer=request.args.get("iss"),
                sent=request.args,
            )  # fmt: skip
            audit.write(tenant_id, "connection.authorised", "installation", str(installation_id), listing.name)
    return go(f"/installations/{installation_id}/setup/connect")
