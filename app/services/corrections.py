"""A failed record put right by its value: what was sent, what is wrong with it, and what a person gives instead."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from flask import current_app

from app.clock import now
from app.crypto import KeyRing
from app.db import db
from app.errors import ConflictError, InvalidError
from app.models.installations import Preview
from app.models.intents import Intent
from app.models.object_types import ObjectField
from app.models.runs import FailedRecord
from app.services import audit, failed_records, mappings, object_types, record_edits, records
from app.services.page_failures import seal_of
from app.tenancy import scoped
from connectors.sdk.manifest import Stream

_ROWS, _LONGEST = 200, 400


@dataclass(frozen=True)
class Correction:
    """A field that can be given another value. `value` is what is here now or was given before, `hidden` sensitive."""

    field: ObjectField
    value: Any
    given: bool = False

    @property
    def hidden(self) -> bool:
        """Whether its present value is not shown."""
        return self.field.sensitive


def list_corrections(failed: FailedRecord) -> list[Correction]:
    """Return the fields of a failed record that can be corrected: the one that does not fit, or those that were sent."""
    installed = mappings.get_stream(failed.tenant_id, failed.installation_id, failed.stream)
    fields = {field.name: field for field in object_types.list_fields(installed.object_type)}
    if failed.direction == "in":
        if failed.field not in fields:
            return []
        given = (failed.override or {}).get(failed.field)
        return [Correction(fields[failed.field], given["value"] if given else None, given is not None)]
    if failed.record_id is None or failed.code in (failed_records.IN_DOUBT, "ping_pong"):
        return []
    data = records.get_record(failed.tenant_id, failed.record_id).data
    names = [failed.field] if failed.field else _sent(failed)
    return [Correction(fields[name], data.get(name)) for name in names if name in fields]


def _sent(failed: FailedRecord) -> list[str]:
    """Return the fields that the last write of the record has sent."""
    last = recent_writes(failed, limit=1)
    return list(last[0].fields) if last else []


def recent_writes(failed: FailedRecord, limit: int = 10) -> list[Intent]:
    """Return the newest writes of a record that failed on its way out, to the stream that refused it."""
    query = scoped(Intent, failed.tenant_id).where(
        Intent.record_id == failed.record_id, Intent.installation_id == failed.installation_id,
        Intent.stream == failed.stream, Intent.sent_at.is_not(None),
    )  # fmt: skip
    return list(db.session.scalars(query.order_by(Intent.id.desc()).limit(limit)))


def give(tenant_id: uuid.UUID, failed_id: uuid.UUID, values: Mapping[str, str]) -> None:
    """Use these values instead of those that do not fit, and try the record again.

    On its way in the value stands in for that of the other side; on its way out the host's record is changed.
    InvalidError names the fields whose new value does not fit either.
    """
    failed = failed_records.get_failed_record(tenant_id, failed_id)
    allowed = {correction.field.name: correction for correction in list_corrections(failed)}
    chosen = {name: value for name, value in values.items() if name in allowed}
    if failed.state == "resolved" or not chosen:
        raise ConflictError("This record has no value that can be corrected here.")
    object_type = allowed[next(iter(chosen))].field.object_type
    checked = record_edits.checked(object_type, chosen)
    empty = {name for name, value in checked.items() if value is None and allowed[name].field.required}
    if empty:
        raise InvalidError("A value is missing.", {name: f"{allowed[name].field.label} is required." for name in empty})
    if failed.direction == "in":
        new = {name: {"value": value, "instead_of": failed.message} for name, value in checked.items()}
        failed.override = {**(failed.override or {}), **new}
        db.session.flush()  # The retry below is a statement of its own.
    else:
        assert failed.record_id is not None
        record_edits.update(tenant_id, failed.record_id, checked, writer=audit.current_actor.get().name)
    failed_records.retry(tenant_id, failed.installation_id, failed_id)
    audit.write(
        tenant_id, "failed_record.corrected", "failed_record", str(failed_id), failed.title or failed.external_id,
        installation_id=failed.installation_id, fields=sorted(checked),
    )  # fmt: skip


def open_payload(tenant_id: uuid.UUID, failed_id: uuid.UUID, stream: Stream) -> list[dict[str, Any]]:
    """Return what the other side had sent: path, value, the field it goes to. Only a worker holds the key for it.

    Values of fields marked as sensitive, here or in the manifest, are left out.
    """
    failed = failed_records.get_failed_record(tenant_id, failed_id)
    if failed.payload_sealed is None:
        return []
    ring: KeyRing = current_app.extensions["keys"]
    place = tenant_id, failed.installation_id, failed.stream
    data = orjson.loads(ring.open("token", failed.payload_sealed, seal_of(*place, failed.external_id)))
    installed = mappings.get_stream(*place)
    fields = {field.name: field for field in object_types.list_fields(installed.object_type)}
    sensitive = {field.name for field in stream.fields if field.sensitive}
    uses: dict[str, list[str]] = {}
    for rule in mappings.current_rules(*place):
        for source in rule.sources:
            uses.setdefault(source, []).append(rule.target)
    rows = []
    for path, value in _flat(data):
        targets = [
            name for used, names in uses.items() if path == used or path.startswith(f"{used}.") for name in names
        ]
        hidden = any(path == name or path.startswith(f"{name}.") for name in sensitive) or any(
            fields[name].sensitive for name in targets if name in fields
        )
        rows.append(
            {
                "path": path, "value": None if hidden else value, "hidden": hidden, "failing": failed.field in targets,
                "targets": [fields[name].label for name in targets if name in fields],
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: (not row["failing"], not row["targets"]))[:_ROWS]


def find_payload(failed: FailedRecord) -> Preview | None:
    """Return the answer of the worker that was asked for the payload of a failed record, None when there is none."""
    query = scoped(Preview, failed.tenant_id).where(
        Preview.installation_id == failed.installation_id, Preview.kind == "payload", Preview.expires_at > now(),
        Preview.request["failed_id"].astext == str(failed.id),
    )  # fmt: skip
    return db.session.scalar(query.order_by(Preview.id.desc()).limit(1))


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [row for name, item in value.items() for row in _flat(item, f"{path}.{name}" if path else str(name))]
    text = value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()
    return [(path, text[:_LONGEST])]


def title_of(failed: FailedRecord) -> str:
    """Return what a failed record is called."""
    return failed.title or failed.external_id.removeprefix("record:")


def place_there(failed: FailedRecord) -> str:
    """Return the id that a failed record has at the other side, empty while it has none."""
    return "" if failed.external_id.startswith("record:") else failed.external_id
