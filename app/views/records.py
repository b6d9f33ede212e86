"""The records browser: lists by type, found by exact key, one with its story."""

import uuid
from datetime import datetime

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import render
from app.services import object_types, records

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
    story = records.get_story(viewer().tenant_id, record_id)
    fields = object_types.list_fields(story.record.object_type)
    return render(
        "records/show.html", story=story, labels={field.name: field.label for field in fields},
        kind=object_types.get_object_type(story.record.object_type),
    )  # fmt: skip
