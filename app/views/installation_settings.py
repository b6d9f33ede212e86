"""The settings of an installation: its name, what is synced which way, how often. The same form as the wizard's step."""

import uuid
from typing import Any

from flask import Blueprint, flash
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import NotFoundError
from app.extensions import settings
from app.htmx import go
from app.services import connections
from app.views import configure_step
from app.views.installations import open_page

blueprint = Blueprint("installation_settings", __name__, url_prefix="/installations/<uuid:installation_id>/settings")


def _open(installation_id: uuid.UUID) -> dict[str, Any]:
    context = open_page(installation_id)
    installation = context["installation"]
    if installation.state == "removed":
        raise NotFoundError("This installation has been removed.")
    connection = connections.get_connection(viewer().tenant_id, installation.connection_id)
    return context | {"connection": connection, "host_name": settings().host_name, "tab": "settings"}


@blueprint.get("")
@requires("admin")
def show(installation_id: uuid.UUID) -> Response:
    context = _open(installation_id)
    if context["installation"].state == "setting_up":
        return go(f"/installations/{installation_id}/setup/configure")
    return configure_step.show(context)


@blueprint.post("")
@requires("admin")
def save(installation_id: uuid.UUID) -> Response:
    answer = configure_step.save(_open(installation_id))
    if answer is None:
        flash("The settings are saved.")
        return go(f"/installations/{installation_id}/settings")
    return answer
