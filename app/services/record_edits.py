"""Changes to the host's records that come from this side: a person, the host's product, an answer to a conflict.

Each is journaled and passed on to the other sides in the same transaction.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import insert, select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from app.clock import now
from app.db import db
from app.errors import ConflictError, InvalidError, NotFoundError
from app.ids import new_id
from app.models.records import Change, Record, RecordKey
from app.services import conflict_ends, intents
from app.services.object_types import fields_of, key_fields_of
from app.services.page_context import Out
from app.services.page_writes import connection
from app.sync.hashes import digest
from app.sync.keys import keys_of
from app.sync.plan import difference
from app.tenancy import scoped
from connectors.sdk.fields import TargetField, coercer


@dataclass(frozen=True)
class Edit:
    """New values of one record; fields that are not named stay. `restore`: it was deleted and is to be there again."""

    record_id: uuid.UUID
    values: Mapping[str, Any]
    restore: bool = False


@dataclass(frozen=True)
class New:
    """A record to be made of checked values; `external_id` is the host's own id of it."""

    data: Mapping[str, Any]
    external_id: str | None = None


def create(tenant_id: uuid.UUID, object_type: str, values: Mapping[str, Any], *, writer: str) -> Record:
    """Create a record and return it. InvalidError names the fields that do not fit."""
    fields = fields_of(object_type)
    data = checked(object_type, values, fields)
    missing = [field.label for field in fields if field.required and data.get(field.name) is None]
    if missing:
        raise InvalidError(f"{', '.join(missing)} must have a value.")
    [made] = create_many(tenant_id, object_type, [New(data)], writer=writer)
    assert made is not None
    return made


def create_many(
    tenant_id: uuid.UUID, object_type: str, rows: Sequence[New], *, writer: str
) -> list[Record | None]:  # fmt: skip
    """Create records of checked values and return them; None in place of one whose external id is taken."""
    values = [
        {"tenant_id": tenant_id, "id": new_id(), "object_type": object_type, "data": dict(row.data),
         "hash": digest(row.data), "external_id": row.external_id}
        for row in rows
    ]  # fmt: skip
    if not values:
        return []
    # In one order, so that two requests with the same ids wait for each other and not both.
    ordered = sorted(values, key=lambda value: str(value["external_id"] or ""))
    query = pg_insert(Record).on_conflict_do_nothing().returning(Record)
    made = {record.id: record for record in db.session.scalars(query, ordered)}
    _write_keys(tenant_id, list(made.values()), key_fields_of(object_type))
    _journal(tenant_id, [(record, "created", {}, record.data) for record in made.values()], writer)
    intents.plan_changed(tenant_id, list(made), cause=writer)
    return [made.get(value["id"]) for value in values]  # type: ignore[arg-type]  # the id of the row


def update(tenant_id: uuid.UUID, record_id: uuid.UUID, values: Mapping[str, Any], *, writer: str) -> None:
    """Change fields of a record. InvalidError names those that do not fit, NotFoundError says that it is not there."""
    record = db.session.scalar(scoped(Record, tenant_id).where(Record.id == record_id, Record.deleted_at.is_(None)))
    if record is None:
        raise NotFoundError("There is no such record.")
    apply(tenant_id, [Edit(record_id, checked(record.object_type, values))], writer=writer)


def change_field(
    tenant_id: uuid.UUID, record_id: uuid.UUID, name: str, value: Any, *, seen: str, writer: str
) -> None:  # fmt: skip
    """Give one field a value by hand. `seen` is the digest of the value that the person has seen.

    ConflictError when it holds another one by now, InvalidError when the new one does not fit, NotFoundError when
    there is no such record or field.
    """
    record = hold(tenant_id, [record_id]).get(record_id)
    field = next((f for f in fields_of(record.object_type) if f.name == name), None) if record else None
    if record is None or record.deleted_at is not None or field is None:
        raise NotFoundError("There is no such field of a record.")
    if seen_of(record.data.get(name)) != seen:
        raise ConflictError(f"{field.label} has changed since this page was shown. Look at it, then change it again.")
    fits = checked(record.object_type, {name: value})
    if field.required and fits[name] is None:
        raise InvalidError(f"{field.label} must have a value.", {name: f"{field.label} must have a value."})
    apply(tenant_id, [Edit(record_id, fits)], writer=writer)


def seen_of(value: Any) -> str:
    """Return what a form keeps of the value that it shows; nothing and an empty text are one."""
    return digest(value if value != "" else None).hex()


def restore(tenant_id: uuid.UUID, record_id: uuid.UUID, *, again: Sequence[Out], writer: str) -> None:
    """Bring a deleted record back, and have it made anew at the sides `again`. ConflictError when it is not deleted."""
    record = hold(tenant_id, [record_id]).get(record_id)
    if record is None:
        raise NotFoundError("There is no such record.")
    if record.deleted_at is None:
        raise ConflictError("This record is not deleted.")
    apply(tenant_id, [Edit(record_id, {}, restore=True)], writer=writer)
    outs = [out for out in intents.outs_of(tenant_id, record.object_type) if out in again]
    intents.plan(connection(), tenant_id, [(out, record_id) for out in outs], cause=writer, operation="create")


def delete(tenant_id: uuid.UUID, record_id: uuid.UUID, *, writer: str) -> None:
    """Delete a record; the other sides follow where their policy mirrors deletes. One that is gone stays gone."""
    remove(tenant_id, [record_id], writer=writer)


def hold(tenant_id: uuid.UUID, record_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Record]:
    """Return these records by id, as they are now, locked in id order until the transaction ends."""
    query = scoped(Record, tenant_id).where(Record.id.in_(record_ids)).order_by(Record.id).with_for_update()
    return {record.id: record for record in db.session.scalars(query.execution_options(populate_existing=True))}


def checked(
    object_type: str, values: Mapping[str, Any], fields: Sequence[TargetField] | None = None
) -> dict[str, Any]:  # fmt: skip
    """Return values as the type's fields hold them, or raise InvalidError with a sentence for each field.

    `fields` are the type's, where the caller has them already.
    """
    known = {field.name: field for field in (fields_of(object_type) if fields is None else fields)}
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, value in values.items():
        if name not in known:
            wrong[name] = f"There is no field {name}."
        elif value is None or value == "":
            found[name] = None
        else:
            try:
                found[name] = coercer(known[name])(value)
            except (ValueError, TypeError, OverflowError) as error:
                wrong[name] = f"{known[name].label}: the value {error}."
    if wrong:
        raise InvalidError("Some values do not fit: " + " ".join(wrong.values()), wrong)
    return found


def apply(
    tenant_id: uuid.UUID, edits: Sequence[Edit], *, writer: str, undoes: uuid.UUID | None = None
) -> list[uuid.UUID]:
    """Write checked values, journal what changed and plan it for the other sides; return the records that changed.

    `undoes` is the run that is taken back by it; the journal keeps that.
    """
    held = hold(tenant_id, [edit.record_id for edit in edits])
    rows = []
    for edit in edits:
        record = held.get(edit.record_id)
        if record is None or (record.deleted_at is not None and not edit.restore):
            continue
        before, after = difference(record.data, dict(edit.values))
        operation = "restored" if record.deleted_at is not None else "updated"
        if after or operation == "restored":
            record.data = {**record.data, **after}
            record.hash, record.version = digest(record.data), record.version + 1
            record.updated_at, record.deleted_at = now(), None
            rows.append((record, operation, before, after))
    db.session.flush()  # What follows reads the rows by SQL.
    changed = [row[0] for row in rows]
    _renew_keys(tenant_id, changed)
    _journal(tenant_id, rows, writer, undoes)
    conflict_ends.follow_edits(tenant_id, [record.id for record in changed])
    intents.plan_changed(tenant_id, [record.id for record in changed], cause=writer)
    return [record.id for record in changed]


def remove(
    tenant_id: uuid.UUID, record_ids: Sequence[uuid.UUID], *, writer: str, undoes: uuid.UUID | None = None
) -> list[uuid.UUID]:
    """Delete records, journal it and plan it for the other sides; return those that were there.

    With `undoes`, the run that is taken back by it, nothing is deleted at the other sides: intent_claims sees to that.
    """
    held = [record for record in hold(tenant_id, record_ids).values() if record.deleted_at is None]
    ids = [record.id for record in held]
    db.session.execute(
        sql_update(Record)
        .where(Record.tenant_id == tenant_id, Record.id.in_(ids))
        .values(deleted_at=now(), updated_at=now(), version=Record.version + 1)
    )
    db.session.execute(sql_delete(RecordKey).where(RecordKey.tenant_id == tenant_id, RecordKey.record_id.in_(ids)))
    _journal(tenant_id, [(record, "deleted", record.data, {}) for record in held], writer, undoes)
    conflict_ends.follow_deletes(tenant_id, ids)
    if undoes:
        intents.drop_planned(tenant_id, ids, reason=f"{writer}: it stays there as it is.")
    else:
        intents.plan_changed(tenant_id, ids, cause=writer)
    return ids


def _renew_keys(tenant_id: uuid.UUID, records: Sequence[Record]) -> None:
    """Keys of a type's own unique hints, and those that streams match by: these are known from the rows there are."""
    ids = [record.id for record in records]
    mine = (RecordKey.tenant_id == tenant_id, RecordKey.record_id.in_(ids))
    used = set(db.session.scalars(select(RecordKey.key).where(*mine).distinct()))
    db.session.execute(sql_delete(RecordKey).where(*mine))
    for object_type in {record.object_type for record in records}:
        names = tuple(dict.fromkeys((*key_fields_of(object_type), *sorted(used))))
        _write_keys(tenant_id, [record for record in records if record.object_type == object_type], names)


def _write_keys(tenant_id: uuid.UUID, records: Sequence[Record], names: tuple[str, ...]) -> None:
    rows = [
        {"tenant_id": tenant_id, "object_type": r.object_type, "key": key, "value": value, "record_id": r.id}
        for r in records
        for key, value in keys_of(r.data, names).items()
    ]
    if rows:
        db.session.execute(insert(RecordKey), rows)


def _journal(
    tenant_id: uuid.UUID, rows: Sequence[tuple[Record, str, Mapping[str, Any], Mapping[str, Any]]], writer: str,
    undoes: uuid.UUID | None = None,
) -> None:  # fmt: skip
    made = [
        {
            "tenant_id": tenant_id, "id": new_id(), "record_id": record.id, "object_type": record.object_type,
            # With a run and without an installation: the run's own changes have both.
            "run_id": undoes,
            "operation": operation, "before": dict(before), "after": dict(after), "writer": writer,
        }
        for record, operation, before, after in rows
    ]  # fmt: skip
    if made:
        db.session.execute(insert(Change), made)
