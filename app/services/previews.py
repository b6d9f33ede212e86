"""Questions of a page to the vendor, answered by a worker: choices, a mapped sample, a dry run."""

import uuid
from datetime import timedelta
from typing import Any

from app.clock import now
from app.db import db
from app.errors import NotFoundError
from app.ids import new_id
from app.models.installations import Preview
from app.models.records import Record, RecordKey
from app.services import tasks, vendor_hosts
from app.sync.keys import normalise
from app.sync.plan import difference
from app.tenancy import scoped
from connectors.sdk import CompiledMapping, External

_LIFE = timedelta(hours=1)
SAMPLES = 5


def ask(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str, *, stream: str | None = None,
    request: dict[str, Any] | None = None,
) -> Preview:  # fmt: skip
    """Ask, and return the row the page polls."""
    made = add(tenant_id, installation_id, kind, stream=stream, request=request)
    host = vendor_hosts.host_of(tenant_id, installation_id)
    tasks.add_task(tenant_id, "fast", "preview", str(made.id), ref=made.id, host=host, max_attempts=2)
    return made


def add(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str, *, stream: str | None = None,
    request: dict[str, Any] | None = None,
) -> Preview:  # fmt: skip
    """Return a new row for an answer; the caller adds the task that gives it."""
    made = Preview(
        tenant_id=tenant_id, id=new_id(), installation_id=installation_id, kind=kind, stream=stream,
        request=request or {}, expires_at=now() + _LIFE,
    )  # fmt: skip
    db.session.add(made)
    return made


def get(tenant_id: uuid.UUID, preview_id: uuid.UUID) -> Preview:
    """Return a preview or raise NotFoundError."""
    found = db.session.scalar(scoped(Preview, tenant_id).where(Preview.id == preview_id))
    if found is None:
        raise NotFoundError("This preview has expired. Ask again.")
    return found


def find_latest(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str, stream: str | None = None
) -> Preview | None:
    """Return the newest preview of a kind, None when there is none that still counts."""
    query = scoped(Preview, tenant_id).where(
        Preview.installation_id == installation_id, Preview.kind == kind, Preview.expires_at > now()
    )
    if stream:
        query = query.where(Preview.stream == stream)
    return db.session.scalar(query.order_by(Preview.id.desc()).limit(1))


def describe(
    tenant_id: uuid.UUID, object_type: str, records: list[External], mapping: CompiledMapping, match_key: str | None,
    labels: dict[str, str],
) -> list[dict[str, Any]]:  # fmt: skip
    """Return for each record what would happen to it: outcome, title, fields before and after, problems."""
    mapped = [(record, mapping.apply(record.data)) for record in records]
    keys = {
        key: record.id for record, result in mapped if match_key and (key := normalise(result.values.get(match_key)))
    }
    known = _find(tenant_id, object_type, match_key, list(keys)) if match_key else {}
    found = []
    for record, result in mapped:
        key = normalise(result.values.get(match_key)) if match_key else None
        hits = known.get(key or "", [])
        held = hits[0].data if len(hits) == 1 else {}
        before, after = difference(held, {k: v for k, v in result.values.items() if v is not None or k in held})
        outcome = (
            "left_out"
            if result.failed
            else "conflict"
            if len(hits) > 1
            else "create"
            if not hits
            else "change"
            if after
            else "same"
        )
        title = str(
            result.values.get("full_name") or result.values.get("name") or result.values.get("email") or record.id
        )
        found.append(
            {
                "id": record.id, "title": title, "outcome": outcome,
                "fields": [
                    {"label": labels.get(k, k), "before": before.get(k, v) if held else None, "after": v, "changed": k in after}
                    for k, v in result.values.items()
                ],
                "problems": [problem.message for problem in result.problems],
            }
        )  # fmt: skip
    return found


def _find(tenant_id: uuid.UUID, object_type: str, key: str, values: list[str]) -> dict[str, list[Record]]:
    rows = db.session.execute(
        db.select(RecordKey.value, Record)
        .join(Record, (Record.tenant_id == RecordKey.tenant_id) & (Record.id == RecordKey.record_id))
        .where(
            RecordKey.tenant_id == tenant_id, RecordKey.object_type == object_type, RecordKey.key == key,
            RecordKey.value.in_(values), Record.deleted_at.is_(None),
        )
    )  # fmt: skip
    found: dict[str, list[Record]] = {}
    for value, record in rows:
        found.setdefault(value, []).append(record)
    return found
