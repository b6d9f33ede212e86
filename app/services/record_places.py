"""Where a pasted text leads: the records, links, failed records and conflicts of a tenant that it names."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_, union, union_all
from sqlalchemy.dialects.postgresql import array

from app.db import db
from app.models.installations import InstallationStream
from app.models.intents import Intent
from app.models.records import Link, Record, RecordKey
from app.models.runs import Conflict, FailedRecord
from app.sync.pasted import Pasted
from app.tenancy import scoped

MOST = 20
# Deleted records have no keys any more: so many of each type are looked through, the last deleted first.
_DELETED_LOOKED_AT = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """One record at one stream of an installation; what is not known of the two ids is None."""

    installation_id: uuid.UUID
    stream: str
    external_id: str | None
    record_id: uuid.UUID | None


@dataclass
class Found:
    """The rows that a text names. `links` are those of the records too."""

    records: dict[uuid.UUID, Record] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    failed: list[FailedRecord] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)

    def link_of(self, place: Place) -> Link | None:
        """Return the link of a place."""
        return next((link for link in self.links if _is_at(link, place)), None)

    def failed_of(self, place: Place, direction: str) -> FailedRecord | None:
        """Return the failed record of a place on its way in or out."""
        mine = (item for item in self.failed if item.direction == direction and _same_stream(item, place))
        if direction == "in":
            return next((item for item in mine if item.external_id == place.external_id), None)
        return next((item for item in mine if item.record_id and item.record_id == place.record_id), None)

    def conflict_of(self, place: Place) -> Conflict | None:
        """Return the open conflict of a place."""
        return next((item for item in self.conflicts if _is_at(item, place)), None)


def _same_stream(row: Link | FailedRecord | Conflict, place: Place) -> bool:
    return row.installation_id == place.installation_id and row.stream == place.stream


def _is_at(row: Link | Conflict, place: Place) -> bool:
    return _same_stream(row, place) and row.external_id == place.external_id


def installations_about(tenant_id: uuid.UUID, pasted: Pasted, keys: Mapping[str, Collection[str]]) -> set[uuid.UUID]:
    """Return the installations that know something of what a text names, in one query; `keys` by object type."""
    records: list[Any] = [pasted.record_ids] if pasted.record_ids else []
    named = [(object_type, key) for object_type, names in keys.items() for key in sorted(names)]
    if pasted.value and named:
        records.append(
            select(RecordKey.record_id).where(
                RecordKey.tenant_id == tenant_id, tuple_(RecordKey.object_type, RecordKey.key).in_(named),
                RecordKey.value == pasted.value,
            )
        )  # fmt: skip
    parts = [
        select(model.installation_id).where(model.tenant_id == tenant_id, model.record_id.in_(ids))
        for ids in records for model in (Link, FailedRecord, Conflict, Intent)
    ]  # fmt: skip
    if pasted.value:
        refused = select(FailedRecord.installation_id).where(FailedRecord.tenant_id == tenant_id)
        parts.append(refused.where(FailedRecord.match_value == pasted.value))
    if pasted.external_ids:
        parts.append(
            select(Link.installation_id)
            .join(
                InstallationStream,
                (InstallationStream.tenant_id == Link.tenant_id) & (InstallationStream.stream == Link.stream)
                & (InstallationStream.installation_id == Link.installation_id),
            )
            .where(Link.tenant_id == tenant_id, Link.external_id.in_(pasted.external_ids))
        )  # fmt: skip
    return set(db.session.scalars(union(*parts).limit(MOST))) if parts else set()


def find(
    tenant_id: uuid.UUID, pasted: Pasted, streams: Sequence[InstallationStream], keys: Collection[str]
) -> tuple[list[Place], Found]:
    """Return the places that a text names among these streams, and the rows that say so; a fixed number of queries.

    `keys` are the fields that records are found by.
    """
    found = Found()
    ids = _record_ids(tenant_id, pasted, sorted({stream.object_type for stream in streams}), sorted(keys))
    installations = sorted({stream.installation_id for stream in streams})
    names = sorted({stream.stream for stream in streams})
    external = list(pasted.external_ids)
    at_streams = Link.installation_id.in_(installations) & Link.stream.in_(names)
    links = scoped(Link, tenant_id).where(at_streams, or_(Link.external_id.in_(external), Link.record_id.in_(ids)))
    found.links = list(db.session.scalars(links.order_by(Link.id.desc()).limit(MOST)))
    ids += [link.record_id for link in found.links if link.record_id not in ids]
    external += [link.external_id for link in found.links if link.external_id not in external]
    found.failed = _failed(tenant_id, pasted, installations, external, ids)
    found.conflicts = _conflicts(tenant_id, installations, external, ids)
    ids += [item.record_id for item in found.failed if item.record_id and item.record_id not in ids]
    found.records = {row.id: row for row in db.session.scalars(scoped(Record, tenant_id).where(Record.id.in_(ids)))}
    return _places(found, streams), found


def _record_ids(tenant_id: uuid.UUID, pasted: Pasted, types: list[str], keys: list[str]) -> list[uuid.UUID]:
    if not pasted.value or not types or not keys:
        return list(pasted.record_ids)
    by_key = select(RecordKey.record_id).where(
        RecordKey.tenant_id == tenant_id, RecordKey.object_type.in_(types), RecordKey.key.in_(keys),
        RecordKey.value == pasted.value,
    )  # fmt: skip
    found = list(db.session.scalars(by_key.limit(MOST)))
    if not found:
        found = list(db.session.scalars(_deleted(tenant_id, pasted.value, types, keys)))
    return list(dict.fromkeys([*pasted.record_ids, *found]))


def _deleted(tenant_id: uuid.UUID, value: str, types: list[str], keys: list[str]) -> Select[tuple[uuid.UUID]]:
    """Return the query for deleted records that had this value in one of the key fields."""
    gone = union_all(*(
        select(Record.id, Record.data)
        .where(Record.tenant_id == tenant_id, Record.object_type == object_type, Record.deleted_at.is_not(None))
        .order_by(Record.updated_at.desc(), Record.id.desc())
        .limit(_DELETED_LOOKED_AT)
        for object_type in types
    )).subquery()  # fmt: skip
    had = or_(*(func.lower(func.btrim(gone.c.data[key].astext)) == value for key in keys))
    return select(gone.c.id).where(had).limit(MOST)


def _failed(
    tenant_id: uuid.UUID, pasted: Pasted, installations: list[uuid.UUID], external: list[str], ids: list[uuid.UUID]
) -> list[FailedRecord]:
    fits: list[ColumnElement[bool]] = [FailedRecord.external_id.in_(external), FailedRecord.record_id.in_(ids)]
    if pasted.value:
        fits.append(FailedRecord.match_value == pasted.value)
    query = scoped(FailedRecord, tenant_id).where(
        FailedRecord.installation_id.in_(installations), FailedRecord.state != "resolved", or_(*fits)
    )
    return list(db.session.scalars(query.order_by(FailedRecord.id.desc()).limit(MOST)))


def _conflicts(
    tenant_id: uuid.UUID, installations: list[uuid.UUID], external: list[str], ids: list[uuid.UUID]
) -> list[Conflict]:
    fits = [Conflict.external_id.in_(external), Conflict.record_id.in_(ids)]
    if ids:
        named = array([str(record_id) for record_id in ids])
        fits.append((Conflict.kind == "match") & Conflict.candidates.has_any(named))
    query = scoped(Conflict, tenant_id).where(
        Conflict.installation_id.in_(installations), Conflict.state == "open", or_(*fits)
    )
    return list(db.session.scalars(query.order_by(Conflict.id.desc()).limit(MOST)))


def _places(found: Found, streams: Sequence[InstallationStream]) -> list[Place]:
    """Return each place once: what is linked, what was refused or conflicts on its way in, what only we have."""
    known = {(stream.installation_id, stream.stream) for stream in streams}
    rows = [row for row in (*found.failed, *found.conflicts) if getattr(row, "direction", "in") == "in"]
    places = {
        (link.installation_id, link.stream, link.external_id): Place(
            link.installation_id, link.stream, link.external_id, link.record_id
        )
        for link in sorted(found.links, key=lambda link: link.deleted_at is not None)
    }
    for row in rows:
        key = (row.installation_id, row.stream, row.external_id)
        if key[:2] in known and key not in places:
            places[key] = Place(*key, _fitting(found, places.values(), *key[:2]) if row in found.failed else None)
    made = list(places.values())
    choices = {(row.installation_id, row.stream, name) for row in found.conflicts for name in row.candidates}
    for stream in streams:
        for record in found.records.values():
            here = (stream.installation_id, stream.stream)
            # One of those that a conflict is about, or a deleted one beside a live one, says nothing of its own.
            told = (*here, str(record.id)) in choices or (record.deleted_at is not None and bool(made))
            placed = any(p.record_id == record.id and (p.installation_id, p.stream) == here for p in made)
            if record.object_type == stream.object_type and not told and not placed:
                made.append(Place(*here, None, record.id))
    return made


def _fitting(found: Found, places: Iterable[Place], installation_id: uuid.UUID, stream: str) -> uuid.UUID | None:
    """Return our record that a refused one would be joined with: the only one found that is not linked there yet."""
    linked = {p.record_id for p in places if (p.installation_id, p.stream) == (installation_id, stream)}
    free = [record.id for record in found.records.values() if record.deleted_at is None and record.id not in linked]
    return free[0] if len(free) == 1 else None
