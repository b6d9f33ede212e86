"""What the mapping editor asks the vendor for: one record by id or e-mail, and the fields anew."""

import uuid
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import InvalidError
from app.htmx import go, render, stop_polling, wants_fragment
from app.services import previews, samples
from app.transaction import transaction
from app.views.mapping_pages import Page, editor_of, open_page, preview_of, show_page
from app.views.mapping_rows import rows_of

blueprint = Blueprint("mapping_samples", __name__, url_prefix="/installations/<uuid:installation_id>/mapping/<stream>")


@blueprint.get("/preview")
@requires("member")
def preview(installation_id: uuid.UUID, stream: str) -> Response:
    return _preview(open_page(installation_id, stream))


def _preview(page: Page, *, look: uuid.UUID | None = None, status: int = 200, **more: Any) -> Response:
    if not wants_fragment():
        return show_page(page, status=status, **more)
    editor, found = editor_of(page), preview_of(page, look)
    response = render(
        "mappings/_looked.html", status=status, base=page.base, host_name=editor.host, manifest=page.manifest,
        rows=rows_of(editor), stream=page.stream, **found, **more,
    )  # fmt: skip
    waits = found["preview"] is not None and found["preview"].state == "waiting"
    return response if waits or status != 200 or request.method == "POST" else stop_polling(response)


@blueprint.post("/preview")
@requires("member")
def look_up(installation_id: uuid.UUID, stream: str) -> Response:
    """Find the record that somebody means and have a worker fetch it."""
    who, text, page = viewer(), request.form.get("q", ""), open_page(installation_id, stream)
    try:
        with transaction():
            asked = previews.ask(
                who.tenant_id, installation_id, "lookup", stream=stream,
                request={"external_id": samples.find_external_id(page.content.installed, text)},
            )  # fmt: skip
    except InvalidError as error:
        return _preview(page, status=422, problem=error.fields["q"], typed=text)
    if wants_fragment():
        return _preview(page, look=asked.id)
    way = "out" if request.form.get("way") == "out" else "in"
    return go(f"{page.base}/preview?look={asked.id}&way={way}")


@blueprint.post("/fields")
@requires("admin")
def load_fields(installation_id: uuid.UUID, stream: str) -> Response:
    """Have the fields discovered anew, and records sampled anew with them."""
    page = open_page(installation_id, stream)
    with transaction():
        for kind in ("fields", "sample"):
            previews.ask(viewer().tenant_id, installation_id, kind, stream=stream)
    return go(f"{page.base}?loading=1")


@blueprint.get("/fields")
@requires("member")
def fields(installation_id: uuid.UUID, stream: str) -> Response:
    """Say whether the fields have come; the editor is loaded anew once they have."""
    page = open_page(installation_id, stream)
    loading = previews.find_latest(viewer().tenant_id, installation_id, "fields", stream)
    if not wants_fragment():
        return go(f"{page.base}?loading=1")
    response = render("mappings/_fields.html", loading=loading, base=page.base)
    if loading is not None and loading.state == "waiting":
        return response
    response.headers["HX-Redirect"] = f"{page.base}?loading=1"
    return stop_polling(response)
