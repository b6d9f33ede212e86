"""Conflicts as people see them: the queue with its filters, one with its values, and its neighbours in the queue."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased
from sqlalchemy.types import Text

from app.db import db
from app.errors import NotFoundError
from app.models.installations import Installation, InstallationStream
from app.models.records import Record
from app.models.runs import Conflict
from app.sync.hashes import digest
from app.tenancy import scoped

COUNT_LIMIT = 10_000
# So many installations can be chosen among; each has its conflicts on its own page, too.
SOURCES = 200
# Literal, as the indexes have them: with bound values the plan PostgreSQL keeps finds none of these.
SHOWN = {
    "open": text("conflicts.state = 'open'"),
    "policy": text("conflicts.resolution = 'policy'"),
    "settled": text("conflicts.state = 'settled' AND conflicts.resolution <> 'policy'"),
}
KINDS = ("fields", "match", "deleted_there", "deleted_here")


@dataclass(frozen=True)
class Filters:
    """What the queue is narrowed to; each empty one does not count. `like`: those similar to this one."""

    show: str = "open"
    installation: uuid.UUID | None = None
    stream: str = ""
    kind: str = ""
    field: str = ""
    like: Conflict | None = None


@dataclass(frozen=True)
class Item:
    """A conflict of the queue with the values its record has now, and the names of the host's object type and installation."""

    conflict: Conflict
    object_type: str
    installation: str
    data: dict[str, Any]

    @property
    def ours(self) -> dict[str, Any]:
        """The values on our side: as they are while it is open, as they were when it was settled."""
        return ours_now(self.conflict, self.data)


@dataclass(frozen=True)
class Page:
    """Some of the queue. `older` is where the next page goes on, None at the end.

    `looked`: the filters were held against only so many, and there may be more that fit among older ones.
    """

    items: list[Item]
    older: uuid.UUID | None = None
    looked: int | None = None


def list_conflicts(tenant_id: uuid.UUID, filters: Filters, *, before: uuid.UUID | None = None, limit: int = 50) -> Page:
    """Return conflicts, newest first; `before` is where the last page ended.

    No index knows fields and kinds, and row level security lets none of jsonb be used: so one page looks through
    COUNT_LIMIT at most, however many there are. Without joins, because PostgreSQL would choose them by statistics that
    are old on a tenant which has just got its conflicts.
    """
    window = _window(tenant_id, filters, before)
    seen = aliased(Conflict, window.cte().prefix_with("MATERIALIZED", dialect="postgresql"))
    query = select(seen).where(*_conditions(filters, seen)).order_by(seen.id.desc()).limit(limit + 1)
    found = list(db.session.scalars(query))
    items = _items(tenant_id, found[:limit])
    if len(found) > limit:
        return Page(items, found[limit - 1].id)
    last: uuid.UUID | None = db.session.scalar(
        window.with_only_columns(Conflict.id).offset(COUNT_LIMIT - 1).limit(1)
    )  # fmt: skip
    return Page(items, last, COUNT_LIMIT) if last else Page(items)


def _window(tenant_id: uuid.UUID, filters: Filters, before: uuid.UUID | None) -> Select[Conflict]:
    """Return what a page looks through, straight from an index."""
    query = scoped(Conflict, tenant_id)
    place = filters.installation or (filters.like.installation_id if filters.like else None)
    if place:
        state = "open" if filters.show == "open" else "settled"
        query = query.where(Conflict.installation_id == place, Conflict.state == state)
    else:
        query = query.where(SHOWN[filters.show])
    if before:
        query = query.where(Conflict.id < before)
    return query.order_by(Conflict.id.desc()).limit(COUNT_LIMIT)


def _items(tenant_id: uuid.UUID, found: Sequence[Conflict]) -> list[Item]:
    places = {(conflict.installation_id, conflict.stream) for conflict in found}
    at = tuple_(InstallationStream.installation_id, InstallationStream.stream)
    rows = db.session.execute(
        select(InstallationStream.installation_id, InstallationStream.stream, InstallationStream.object_type, Installation.name)
        .join(Installation, and_(Installation.tenant_id == tenant_id, Installation.id == InstallationStream.installation_id))
        .where(InstallationStream.tenant_id == tenant_id, at.in_(places))
    )  # fmt: skip
    known = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    ids = [conflict.record_id for conflict in found if conflict.record_id]
    records = db.session.execute(
        select(Record.id, Record.data).where(Record.tenant_id == tenant_id, Record.id.in_(ids))
    )
    held = {row[0]: row[1] for row in records}
    return [
        Item(one, *known[one.installation_id, one.stream], held.get(one.record_id, {}) if one.record_id else {})
        for one in found
    ]


def _conditions(filters: Filters, of: Any = Conflict) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.show == "policy":
        found.append(of.resolution == "policy")
    elif filters.show == "settled":
        found.append(of.resolution != "policy")
    if filters.installation:
        found.append(of.installation_id == filters.installation)
    if filters.stream:
        found.append(of.stream == filters.stream)
    if filters.kind:
        found.append(of.kind == filters.kind)
    if filters.field:
        found += [of.kind == "fields", of.theirs.has_key(filters.field)]
    if filters.like is not None:
        found += is_similar(filters.like, of=of)
    return found


def is_similar(conflict: Conflict, *, same: bool = False, of: Any = Conflict) -> list[ColumnElement[bool]]:
    """Return the conditions for others of the same stream and kind, and of values for the same fields.

    `same`: the other side's values are equal as well.
    """
    found = [
        of.installation_id == conflict.installation_id, of.stream == conflict.stream, of.kind == conflict.kind,
        of.id != conflict.id,
    ]  # fmt: skip
    if conflict.kind == "fields":
        names = db.cast(sorted(conflict.theirs), ARRAY(Text))
        none_left = of.theirs.op("-")(names) == db.cast({}, Conflict.theirs.type)
        found += [of.theirs.has_all(names), none_left]
    return [*found, of.theirs == conflict.theirs] if same else found


def count_open(tenant_id: uuid.UUID, installation_id: uuid.UUID | None = None) -> int:
    """Return how many conflicts wait for a person, of one installation or of all, counted up to COUNT_LIMIT + 1."""
    mine = [Conflict.installation_id == installation_id] if installation_id else []
    return _count(tenant_id, [SHOWN["open"], *mine])


def count_similar(tenant_id: uuid.UUID, conflict: Conflict, *, same: bool = False) -> int:
    """Return how many open ones are similar to this, counted up to COUNT_LIMIT + 1: none of a match, each is its own."""
    if conflict.kind == "match":
        return 0
    return _count(tenant_id, [SHOWN["open"], *is_similar(conflict, same=same)])


def _count(tenant_id: uuid.UUID, conditions: Sequence[Any]) -> int:
    some = select(Conflict.id).where(Conflict.tenant_id == tenant_id, *conditions).limit(COUNT_LIMIT + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def get_conflict(tenant_id: uuid.UUID, conflict_id: uuid.UUID) -> Conflict:
    """Return the conflict as it is now or raise NotFoundError."""
    query = scoped(Conflict, tenant_id).where(Conflict.id == conflict_id)
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise NotFoundError("There is no such conflict.")
    return found


def ours_now(conflict: Conflict, data: dict[str, Any] | None) -> dict[str, Any]:
    """Return our values in the fields of a conflict, given its record's."""
    if conflict.state != "open" or conflict.kind != "fields" or not data:
        return conflict.ours
    return {name: data.get(name) for name in conflict.theirs}


def digest_of(conflict: Conflict, record: Record | None) -> str:
    """Return a mark of what a person decides about; another one says that it has changed meanwhile."""
    data = record.data if record and record.deleted_at is None else None
    names = sorted({*conflict.theirs, *conflict.ours})
    now_here = {name: data.get(name) for name in names} if data is not None else None
    seen = {
        "kind": conflict.kind, "state": conflict.state, "resolution": conflict.resolution, "choices": conflict.choices,
        "base": conflict.base, "theirs": conflict.theirs, "candidates": conflict.candidates, "here": now_here,
    }  # fmt: skip
    return digest(seen).hex()


@dataclass(frozen=True)
class Sources:
    """Where conflicts come from, for the filters of the queue: installation -> name, and streams with their types."""

    installations: dict[uuid.UUID, str]
    streams: list[str]
    object_types: list[str]


def list_sources(tenant_id: uuid.UUID, *, chosen: uuid.UUID | None = None) -> Sources:
    """Return the installations that have conflicts, SOURCES at most and the chosen one, and the streams of all."""
    has = exists().where(Conflict.tenant_id == tenant_id, Conflict.installation_id == Installation.id)
    by_name = (func.lower(Installation.name), Installation.id)
    names = select(Installation.id, Installation.name).where(Installation.tenant_id == tenant_id)
    mine = (
        names.where(or_(has, Installation.id == chosen))
        .order_by((Installation.id == chosen).desc(), *by_name)
        .limit(SOURCES)
    )
    found = sorted(db.session.execute(mine).all(), key=lambda row: row[1].lower())
    streams = select(
        InstallationStream.stream, InstallationStream.object_type, func.bool_or(InstallationStream.enabled)
    )
    rows = db.session.execute(
        streams.where(InstallationStream.tenant_id == tenant_id)
        .group_by(InstallationStream.stream, InstallationStream.object_type)
        .order_by(InstallationStream.stream)
    ).all()
    return Sources(
        {row[0]: row[1] for row in found}, sorted({row[0] for row in rows if row[2]}), sorted({row[1] for row in rows})
    )


@dataclass(frozen=True)
class Place:
    """Where a conflict stands in the queue: `number` of `total` open ones, and those before and after it."""

    number: int
    total: int
    previous: uuid.UUID | None
    next: uuid.UUID | None


def place_of(tenant_id: uuid.UUID, conflict_id: uuid.UUID) -> Place:
    """Return the place of a conflict among the open ones, newest first; after the last one comes the first again."""
    mine = select(Conflict.id).where(Conflict.tenant_id == tenant_id, SHOWN["open"])
    newer, older = mine.where(Conflict.id > conflict_id), mine.where(Conflict.id < conflict_id)

    def count(some: Any) -> Any:
        return select(func.count()).select_from(some.limit(COUNT_LIMIT + 1).subquery()).scalar_subquery()

    row = db.session.execute(
        select(
            count(newer), count(mine), newer.order_by(Conflict.id).limit(1).scalar_subquery(),
            older.order_by(Conflict.id.desc()).limit(1).scalar_subquery(),
            mine.where(Conflict.id != conflict_id).order_by(Conflict.id.desc()).limit(1).scalar_subquery(),
        )
    ).one()  # fmt: skip
    return Place(row[0] + 1, row[1], row[2], row[3] or row[4])
