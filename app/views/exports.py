"""The export of an installation: asked for, watched while a worker makes it, fetched part by part. As is a tenant's."""

import re
import unicodedata
import uuid
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Flask, current_app, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.extensions import settings
from app.htmx import go, render, stop_polling
from app.models.exports import Export
from app.services import exports
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.views.installations import open_page

blueprint = Blueprint("exports", __name__, url_prefix="/installations/<uuid:installation_id>/export")


@blueprint.get("")
@requires("admin")
def index(installation_id: uuid.UUID) -> Response:
    found = exports.list_exports(viewer().tenant_id, installation_id)
    address = f"/installations/{installation_id}/export"
    return render_list(
        "exports/index.html",
        found,
        address,
        address,
        tab="settings",
        formats=exports.FORMATS,
        **open_page(installation_id),
    )


def render_list(template: str, found: list[Export], page: str, address: str, **values: Any) -> Response:
    """Return a page with its list of exports, which looks again while one is being made; each is under `address`."""
    live = any(item.state in exports.LIVE for item in found)
    response = render(
        template, "exports/_list.html", exports=found, live=live, exports_page=page, exports_address=address,
        keep_hours=settings().keep_exports_hours, **values,
    )  # fmt: skip
    return response if live else stop_polling(response)


@blueprint.post("")
@requires("admin")
def create(installation_id: uuid.UUID) -> Response:
    who, form = viewer(), request.form.get("format", "")
    with transaction():
        exports.request(who.tenant_id, installation_id, form if form in exports.FORMATS else "csv", user_id=who.user.id)
    return go(f"/installations/{installation_id}/export")


@blueprint.post("/<uuid:export_id>/delete")
@requires("admin")
def delete(installation_id: uuid.UUID, export_id: uuid.UUID) -> Response:
    with transaction():
        exports.remove(viewer().tenant_id, installation_id, export_id)
    flash("The export is deleted.")
    return go(f"/installations/{installation_id}/export")


@blueprint.get("/<uuid:export_id>/file")
@requires("admin")
def fetch(installation_id: uuid.UUID, export_id: uuid.UUID) -> Response:
    tenant_id, context = viewer().tenant_id, open_page(installation_id)
    with transaction():
        found = exports.open_ready(tenant_id, installation_id, export_id)
    return send(found, _plain(context["installation"].name))


def send(export: Export, name: str) -> Response:
    """Return the file of an export, part by part, under a name with the day it was made."""
    flask_app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy ends with the request
    parts = _parts(flask_app, export.tenant_id, export.id, export.parts)
    response = Response(parts, content_type="application/zip")
    response.headers["content-disposition"] = f'attachment; filename="{name}-{export.created_at:%Y-%m-%d}.zip"'
    response.headers["content-length"] = str(export.size)
    return response


def _parts(flask_app: Flask, tenant_id: uuid.UUID, export_id: uuid.UUID, count: int) -> Iterator[bytes]:
    """Yield the file part by part; each is read in a context of its own, so nothing is held while the browser is slow."""
    for number in range(count):
        with flask_app.app_context(), bind_tenant(tenant_id):
            content = exports.read_part(tenant_id, export_id, number)
        yield content


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-") or "installation"
