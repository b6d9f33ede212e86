"""Removing an installation: a page that says what it does, what stays and what cannot be taken back, before it is done."""

import uuid
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import ConflictError
from app.extensions import settings
from app.htmx import go, render
from app.services import exports, installations, removals
from app.transaction import transaction
from app.views.installations import open_page

blueprint = Blueprint("removals", __name__, url_prefix="/installations/<uuid:installation_id>/remove")


def _page(context: dict[str, Any], status: int = 200, **more: Any) -> Response:
    tenant_id, installation = viewer().tenant_id, context["installation"]
    ready = [item for item in exports.list_exports(tenant_id, installation.id) if item.state == "ready"]
    return render(
        "removals/new.html", status=status, tab="settings", effect=removals.effect_of(tenant_id, installation.id),
        most=removals.MOST, host_name=settings().host_name, export=ready[0] if ready else None,
        gives_back=removals.gives_back(context["manifest"], context["overview"].connection.settings),
        **{"choice": "keep", "typed": "", "wrong": "", "message": "", **more}, **context,
    )  # fmt: skip


@blueprint.get("")
@requires("admin")
def show(installation_id: uuid.UUID) -> Response:
    context = open_page(installation_id)
    if context["installation"].state == "removed":
        return go(f"/installations/{installation_id}")
    return _page(context)


@blueprint.post("")
@requires("admin")
def remove(installation_id: uuid.UUID) -> Response:
    context, tenant_id = open_page(installation_id), viewer().tenant_id
    name, delete = context["installation"].name, request.form.get("records") == "delete"
    typed = request.form.get("name", "").strip()
    if delete and typed != name:
        wrong = f"Type “{name}” as it is written, or choose to keep the records."
        return _page(context, 422, choice="delete", typed=typed, wrong=wrong)
    try:
        with transaction():
            exports.refuse_when_live(tenant_id, installation_id)
            installations.remove(tenant_id, installation_id, delete_records=delete)
    except ConflictError as error:
        return _page(context, 409, choice="delete" if delete else "keep", typed=typed, message=error.message)
    flash(f"{name} is removed.")
    return go(f"/installations/{installation_id}")
