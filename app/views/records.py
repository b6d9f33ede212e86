"""The records browser: lists by type, found by exact key, one with its trace."""

import uuid
from datetime import datetime

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import NotFoundError
from app.extensions import settings
from app.htmx import go, render, stop_polling
from app.services import diagnoses, object_types, record_events, record_outlooks, record_traces, records, runs
from app.services.diagnoses import Case
from app.transaction import transaction
from app.views.acts import cable_of, way_of
from app.views.stories import Teller

blueprint = Blueprint("records", __name__, url_prefix="/records")
_SIZE = 50


@blueprint.get("")
@requires("member")
def index() -> Response:
    tenant_id, counts = viewer().tenant_id, records.count_records(viewer().tenant_id)
    types = {item.name: item for item in object_types.list_object_types()}
    chosen = request.args.get("type", "") or next(iter(sorted(counts, key=lambda n: types[n].position)), "contact")
    chosen = chosen if chosen in types else "contact"
    value, deleted = request.args.get("q", "")[:300].strip(), request.args.get("deleted") == "1"
    before = _position(request.args.get("before", ""))
    found = records.list_records(tenant_id, chosen, value=value, deleted=deleted, before=before, limit=_SIZE + 1)
    last = found[_SIZE - 1] if len(found) > _SIZE else None
    return render(
        "records/index.html", "records/_list.html", types=types, counts=counts, chosen=chosen, records=found[:_SIZE],
        fields=object_types.list_fields(chosen), q=value, deleted=deleted, limit=records.COUNT_LIMIT,
        older=f"{last.updated_at.isoformat()}~{last.id}" if last else None,
    )  # fmt: skip


def _position(text: str) -> tuple[datetime, uuid.UUID] | None:
    try:
        moment, _, name = text.partition("~")
        return datetime.fromisoformat(moment.replace(" ", "+")), uuid.UUID(name)
    except ValueError:
        return None


@blueprint.get("/<uuid:record_id>")
@requires("member")
def show(record_id: uuid.UUID) -> Response:
    tenant_id, host = viewer().tenant_id, settings().host_name
    trace = record_traces.get_trace(tenant_id, record_id, host=host)
    case, kind = trace.case_of(request.args.get("side", "")), request.args.get("kind", "")
    story = record_events.list_events(
        tenant_id, record_id, kind=kind, before=record_events.position_of(request.args.get("before", ""))
    )
    teller = Teller(host, trace.labels, trace.hidden)
    response = render(
        "records/show.html", "records/_fields.html", trace=trace, record=trace.record, case=case, host_name=host,
        sides=record_traces.sides_of(trace, case) if case else {}, side_name=record_traces.side_name, way_of=way_of,
        events=[(event, teller.tell(event)) for event in story.events], older=story.older, story_kind=kind,
        kinds=record_events.KINDS, cable=cable_of(trace, record_traces.targets_of(trace), host),
        deletes=record_outlooks.reaches_of_delete(trace), restores=record_outlooks.reaches_of_restore(trace),
    )  # fmt: skip
    return response if case and case.waiting else stop_polling(response)


def _side(record_id: uuid.UUID) -> Case:
    """Return the side that a form is about, which has the record."""
    trace = record_traces.get_trace(viewer().tenant_id, record_id, host=settings().host_name)
    name = request.form.get("side", "")
    case = next((case for case in trace.cases if record_traces.side_name(case) == name and case.external_id), None)
    if case is None:
        raise NotFoundError("This record is not linked with that product.")
    return case


@blueprint.post("/<uuid:record_id>/look")
@requires("member")
def look(record_id: uuid.UUID) -> Response:
    """Ask one side for the values that it has now."""
    case = _side(record_id)
    with transaction():
        asked = diagnoses.look(viewer().tenant_id, case, str(record_id))
    if not asked:
        flash("It cannot be asked for at the moment. Wait until the other looks are done.")
    return go(f"/records/{record_id}?side={record_traces.side_name(case)}#record-fields")


@blueprint.post("/<uuid:record_id>/read")
@requires("member")
def read(record_id: uuid.UUID) -> Response:
    """Have the record read from one side and applied now."""
    case = _side(record_id)
    with transaction():
        runs.queue_read(viewer().tenant_id, case.scene.installation.id, case.stream, case.external_id or "")
    flash(f"{case.names.vendor} is asked for {case.external_id} now.")
    return go(f"/records/{record_id}?side={record_traces.side_name(case)}")
