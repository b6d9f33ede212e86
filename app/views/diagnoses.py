"""Why is this record not in sync: paste an id or an e-mail address, see the path and the one thing to do."""

import uuid
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import ConflictError
from app.extensions import settings
from app.htmx import go, render, stop_polling
from app.services import diagnoses, installations, intents, mappings, page_writes, records, runs
from app.services.diagnoses import Case
from app.services.page_context import Out
from app.sync.pasted import LONGEST
from app.transaction import transaction
from app.views.acts import sockets_of, state_of, way_of
from app.views.installations import open_page

blueprint = Blueprint("diagnoses", __name__)


@blueprint.get("/installations/<uuid:installation_id>/why")
@requires("member")
def show(installation_id: uuid.UUID) -> Response:
    text = _text(request.args.get("q", ""))
    cases = _find(text, installation_id)
    context = open_page(installation_id)
    return _page("diagnoses/show.html", cases, text, tab="why", **context)


@blueprint.get("/records/why")
@requires("member")
def everywhere() -> Response:
    text = _text(request.args.get("q", ""))
    return _page("diagnoses/everywhere.html", _find(text, None), text)


def _page(template: str, cases: list[Case], text: str, **context: Any) -> Response:
    response = render(
        template,
        "diagnoses/_result.html",
        cases=cases,
        q=text,
        way_of=way_of,
        sockets_of=sockets_of,
        state_of=state_of,
        **context,
    )
    return response if any(case.waiting for case in cases) else stop_polling(response)


def _text(text: str) -> str:
    return text.strip()[:LONGEST]


def _find(text: str, installation_id: uuid.UUID | None) -> list[Case]:
    """Return what is found; a side that nobody has asked yet and that can be asked, is asked."""
    tenant_id, host = viewer().tenant_id, settings().host_name
    if not text:
        return []
    found = diagnoses.find(tenant_id, text, host=host, installation_id=installation_id)
    unasked = [case for case in found if case.diagnosis.outcome == "not_looked"]
    if not unasked:
        return found
    with transaction():
        asked = [diagnoses.look(tenant_id, case, text) for case in unasked]
    return diagnoses.find(tenant_id, text, host=host, installation_id=installation_id) if any(asked) else found


def _back(installation_id: uuid.UUID) -> Response:
    return go(f"/installations/{installation_id}/why?{urlencode({'q': _text(request.form.get('q', ''))})}")


@blueprint.post("/installations/<uuid:installation_id>/why/look")
@requires("member")
def look(installation_id: uuid.UUID) -> Response:
    """Ask the other side for the record as it is now."""
    tenant_id, text, name = (
        viewer().tenant_id,
        _text(request.form.get("q", "")),
        _text(request.form.get("external_id", "")),
    )
    installations.get_installation(tenant_id, installation_id)  # NotFoundError for one that is not theirs
    found = diagnoses.find(tenant_id, text, host=settings().host_name, installation_id=installation_id)
    wanted = [case for case in found if not name or case.external_id == name]
    with transaction():
        asked = [diagnoses.look(tenant_id, case, text) for case in wanted[:1]]
    if not any(asked):
        flash("It cannot be asked for at the moment. Wait until the other looks are done.")
    return _back(installation_id)


@blueprint.post("/installations/<uuid:installation_id>/why/read")
@requires("member")
def read(installation_id: uuid.UUID) -> Response:
    """Have one record read and applied now."""
    tenant_id, stream, name = (
        viewer().tenant_id,
        request.form.get("stream", ""),
        _text(request.form.get("external_id", "")),
    )
    installation = installations.get_installation(tenant_id, installation_id)
    mappings.get_stream(tenant_id, installation_id, stream)  # NotFoundError for one there is not
    if name:
        with transaction():
            runs.queue_read(tenant_id, installation_id, stream, name)
        flash(f"{installation.name} is asked for {name} now.")
    return _back(installation_id)


@blueprint.post("/installations/<uuid:installation_id>/why/send")
@requires("member")
def send(installation_id: uuid.UUID) -> Response:
    """Have one of our records sent now; `again` makes one anew that was deleted there."""
    who, stream, record_id = viewer(), request.form.get("stream", ""), request.form.get("record_id", type=uuid.UUID)
    installation = installations.get_installation(who.tenant_id, installation_id)
    record = records.get_record(who.tenant_id, record_id or uuid.UUID(int=0))
    place = Out(installation_id, stream)
    if place not in intents.outs_of(who.tenant_id, record.object_type):
        raise ConflictError(f"These records do not flow into {installation.name}.", fix="Change the direction first.")
    with transaction():
        intents.plan(
            page_writes.connection(), who.tenant_id, [(place, record.id)], cause=f"{who.user.name}, who had it sent",
            operation="create" if request.form.get("again") else "decide", told=0,
        )  # fmt: skip
    flash(f"It is sent to {installation.name} now.")
    return _back(installation_id)
