"""Many records at once from the host's product: each with its own answer, all in the same few statements."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select

from app.db import db
from app.errors import AppError, ConflictError, InvalidError, NotFoundError
from app.models.records import Record, RecordKey
from app.services import record_edits
from app.services.object_types import fields_of, get_object_type, key_fields_of
from app.services.record_edits import Edit, New
from app.sync.keys import normalise
from connectors.sdk.fields import TargetField

Action = Literal["create", "update", "upsert", "delete"]
Outcome = Literal["created", "updated", "unchanged", "deleted", "failed"]
# What an index can hold.
_LONGEST_KEY = 1000


@dataclass(frozen=True)
class Item:
    """What is to become of one record, named by its id or by the host's own."""

    action: Action
    values: Mapping[str, Any]
    record_id: uuid.UUID | None = None
    external_id: str | None = None
    # The version it must have.
    version: int | None = None
    # A key field by which an upsert takes a record that has no external id yet.
    match: str | None = None


@dataclass(frozen=True)
class Result:
    """What became of it."""

    outcome: Outcome
    record: Record | None = None
    error: AppError | None = None


@dataclass
class _Work:
    tenant_id: uuid.UUID
    object_type: str
    fields: list[TargetField]
    keys: tuple[str, ...]
    writer: str


def apply(
    tenant_id: uuid.UUID, object_type: str, items: Sequence[Item], *, writer: str
) -> list[Result]:  # fmt: skip
    """Do all that can be done and return a result for each item in their order.

    NotFoundError when there is no such object type. What cannot be done to one record stops no other.
    """
    get_object_type(object_type)
    work = _Work(tenant_id, object_type, fields_of(object_type), key_fields_of(object_type), writer)
    results: dict[int, Result] = {}
    open_items = dict(enumerate(items))
    # A second round for those whose external id another request has just taken: now they are there to be changed.
    for _ in range(2):
        _round(work, open_items, results)
        open_items = {place: item for place, item in open_items.items() if place not in results}
    for place in open_items:
        results[place] = Result(
            "failed", error=ConflictError("Another request has just made this record. Send it again.")
        )
    return [results[place] for place in range(len(items))]


def _round(work: _Work, items: Mapping[int, Item], results: dict[int, Result]) -> None:
    targets = _find(work, items)
    ids = [record.id for record in targets.values() if isinstance(record, Record)]
    held = record_edits.hold(work.tenant_id, ids) if ids else {}
    creates: dict[int, New] = {}
    edits: dict[int, Edit] = {}
    removes: dict[int, uuid.UUID] = {}
    met: set[Any] = set()
    for place, item in items.items():
        found = targets[place]
        record = held.get(found.id) if isinstance(found, Record) else None
        try:
            if isinstance(found, AppError):
                raise found
            _once_only(item, record, met)
            _sort(work, place, item, record, creates, edits, removes)
        except AppError as error:
            results[place] = Result("failed", error=error)
    _write(work, items, held, creates, edits, removes, results)


def _once_only(item: Item, record: Record | None, met: set[Any]) -> None:
    mine = {name for name in (record.id if record else item.record_id, item.external_id) if name is not None}
    if mine & met:
        raise ConflictError("This record is more than once in the batch.", code="duplicate_in_batch")
    met.update(mine)


def _sort(
    work: _Work, place: int, item: Item, record: Record | None, creates: dict[int, New], edits: dict[int, Edit],
    removes: dict[int, uuid.UUID],
) -> None:  # fmt: skip
    gone = record is None or record.deleted_at is not None
    if item.action == "create" and record is not None:
        raise ConflictError("There is a record with this external id.", code="external_id_taken")
    if item.action in ("update", "delete") and gone:
        raise NotFoundError("There is no such record.")
    if item.version is not None and (record is None or record.version != item.version):
        raise VersionError(record)
    if item.action == "delete":
        assert record is not None
        removes[place] = record.id
        return
    data = _checked(work, item.values, whole=record is None)
    if record is None:
        creates[place] = New(data, item.external_id)
    else:
        edits[place] = Edit(record.id, data, restore=gone)


class VersionError(AppError):
    """The record has another version than the one that was seen."""

    status = 412
    code = "version_mismatch"

    def __init__(self, record: Record | None) -> None:
        now = f"It is version {record.version} by now." if record else "It is not there."
        super().__init__(f"The record has changed since you have read it. {now}")


def _checked(work: _Work, values: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    data = record_edits.checked(work.object_type, values, work.fields)
    missing = {
        field.name: f"{field.label} must have a value."
        for field in work.fields if field.required and data.get(field.name) is None and (whole or field.name in data)
    }  # fmt: skip
    missing |= {
        name: f"It is longer than {_LONGEST_KEY} characters, and records are found by it."
        for name in work.keys if len(normalise(data.get(name)) or "") > _LONGEST_KEY
    }  # fmt: skip
    if missing:
        raise InvalidError("Some values do not fit: " + " ".join(missing.values()), missing)
    return data


def _find(work: _Work, items: Mapping[int, Item]) -> dict[int, Record | AppError | None]:
    """Return the record that each item is about."""
    mine = (Record.tenant_id == work.tenant_id, Record.object_type == work.object_type)
    ids = [item.record_id for item in items.values() if item.record_id]
    names = [item.external_id for item in items.values() if item.external_id]
    by_id = {r.id: r for r in db.session.scalars(select(Record).where(*mine, Record.id.in_(ids)))} if ids else {}
    named = select(Record).where(*mine, Record.external_id.in_(names))
    by_name = {record.external_id: record for record in db.session.scalars(named)} if names else {}
    found: dict[int, Record | AppError | None] = {}
    for place, item in items.items():
        found[place] = by_id.get(item.record_id) if item.record_id else by_name.get(item.external_id)
    wanted = {
        place: (item.match, value) for place, item in items.items()
        if found[place] is None and item.action == "upsert" and item.match and not item.record_id
        and (value := normalise(item.values.get(item.match))) is not None
    }  # fmt: skip
    return found | _by_key(work, wanted)


def _by_key(work: _Work, wanted: Mapping[int, tuple[str, str]]) -> dict[int, Record | AppError | None]:
    if not wanted:
        return {}
    unknown = {name for name, _ in wanted.values()} - set(work.keys)
    query = (
        select(RecordKey.key, RecordKey.value, Record)
        .join(Record, (Record.tenant_id == RecordKey.tenant_id) & (Record.id == RecordKey.record_id))
        .where(
            RecordKey.tenant_id == work.tenant_id, RecordKey.object_type == work.object_type,
            RecordKey.key.in_({name for name, _ in wanted.values()}),
            RecordKey.value.in_({value for _, value in wanted.values()}),
            Record.external_id.is_(None), Record.deleted_at.is_(None),
        )
        .limit(5000)
    )  # fmt: skip
    having: dict[tuple[str, str], list[Record]] = {}
    for key, value, record in db.session.execute(query):
        having.setdefault((key, value), []).append(record)
    found: dict[int, Record | AppError | None] = {}
    for place, (name, value) in wanted.items():
        fitting = having.get((name, value), [])
        if name in unknown:
            found[place] = InvalidError(f"Records are not found by {name}.", {"match": "Name a key field of the type."})
        elif len(fitting) > 1:
            found[place] = ConflictError(f"{len(fitting)} records have this {name}.", code="ambiguous_match")
        else:
            found[place] = fitting[0] if fitting else None
    return found


def _write(
    work: _Work, items: Mapping[int, Item], held: Mapping[uuid.UUID, Record], creates: Mapping[int, New],
    edits: Mapping[int, Edit], removes: Mapping[int, uuid.UUID], results: dict[int, Result],
) -> None:  # fmt: skip
    made = record_edits.create_many(work.tenant_id, work.object_type, list(creates.values()), writer=work.writer)
    for place, record in zip(creates, made, strict=True):
        if record is not None:
            results[place] = Result("created", record)
    named = False
    for place, edit in edits.items():
        record, external_id = held[edit.record_id], items[place].external_id
        if external_id and record.external_id is None:
            record.external_id, named = external_id, True
    if named:
        db.session.flush()  # `apply` reads the rows anew.
    changed = set(record_edits.apply(work.tenant_id, list(edits.values()), writer=work.writer)) if edits else set()
    for place, edit in edits.items():
        results[place] = Result("updated" if edit.record_id in changed else "unchanged", held[edit.record_id])
    if removes:
        record_edits.remove(work.tenant_id, list(removes.values()), writer=work.writer)
    for place, record_id in removes.items():
        results[place] = Result("deleted", held[record_id])
