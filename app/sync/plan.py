"""What to do with the records of one page: pure, dataclasses in and out."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.sync.echoes import Echo, listen
from app.sync.hashes import digest
from app.sync.keys import Key
from app.sync.merge import Clash, Directions, Merged, Side, merge, unsent

__all__ = ["Held", "Incoming", "Known", "Linked", "Plan", "Write", "difference", "digest", "moment_of", "plan_page"]


@dataclass(frozen=True, slots=True)
class Linked:
    """What the link of an external record says. `written_at`: when our last write to it was answered."""

    id: uuid.UUID
    record_id: uuid.UUID
    source_hash: bytes
    mapping_version: int
    deleted: bool
    base: Mapping[str, Any] = field(default_factory=dict)
    external_version: str | None = None
    written_at: datetime | None = None


# Not frozen where there is one for each record: setting its fields took longer than deciding about it [measured].
@dataclass(slots=True)
class Held:
    """The host's record as it is now."""

    data: dict[str, Any]
    deleted: bool
    updated_at: datetime | None = None


@dataclass(slots=True)
class Incoming:
    """A mapped external record. `keys` are its match keys in the order they are tried; the first that finds counts.

    `given` are values a person gave where those over there do not fit: they are taken here, and never for agreed.
    """

    external_id: str
    values: dict[str, Any]
    source_hash: bytes
    version: str | None
    keys: tuple[Key, ...] = ()
    updated_at: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says about a page: links by external id, records by id, match key -> records that have it.

    `echoes`: our own writes of the last day by external id, newest first.
    """

    links: Mapping[str, Linked] = field(default_factory=dict)
    held: Mapping[uuid.UUID, Held] = field(default_factory=dict)
    matches: Mapping[Key, tuple[uuid.UUID, ...]] = field(default_factory=dict)
    echoes: Mapping[str, tuple[Echo, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Write:
    """One record to write. `operation`: created, updated, linked, restored, or same (the link alone is new).

    `open` and `decided` are the fields both sides have changed, `sends`: the other side has to hear of it.
    """

    operation: str
    incoming: Incoming
    record_id: uuid.UUID
    data: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]
    base: Mapping[str, Any]
    open: tuple[Clash, ...] = ()
    decided: tuple[Clash, ...] = ()
    sends: bool = False
    # The record was deleted here while it was edited there: the edit is kept, and a person looks.
    revived: bool = False


@dataclass(slots=True)
class Plan:
    """The writes of a page and what could not be decided.

    `stale` was read before our own last write was answered and has to be read again; `left` is of no interest here;
    `consumed` and `near` are those of the echo ledger.
    """

    writes: list[Write] = field(default_factory=list)
    conflicts: list[tuple[Incoming, tuple[uuid.UUID, ...]]] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    left: int = 0
    consumed: list[uuid.UUID] = field(default_factory=list)
    near: list[uuid.UUID] = field(default_factory=list)

    def of(self, *operations: str) -> list[Write]:
        """Return the writes of these operations."""
        return [write for write in self.writes if write.operation in operations]


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (before, after) of the fields of `new` that differ from `old`; a missing field and None are one."""
    before, after = {}, {}
    for name, value in new.items():
        was = old.get(name)
        if was != value:
            before[name], after[name] = was, value
    return before, after


def plan_page(
    incoming: Iterable[Incoming], known: Known, directions: Directions, ids: Iterable[uuid.UUID],
    *, began: datetime | None = None, trusted_clock: bool = False,
) -> Plan:  # fmt: skip
    """Decide for each mapped record of a page.

    `ids` are fresh ones for new records, `began` is when the page was asked for, by PostgreSQL's clock. Two records of
    one page with the same key become one record; a later page finds it by its key.
    """
    plan, fresh = Plan(), iter(ids)
    current, matches = dict(known.held), dict(known.matches)
    for item in incoming:
        link = known.links.get(item.external_id)
        if link and _is_stale(link, item, began):
            plan.stale.append(item.external_id)
            continue
        hits = (link.record_id,) if link else _hits(item, matches)
        if len(hits) > 1:
            plan.conflicts.append((item, hits))
            continue
        if hits:
            echoes = known.echoes.get(item.external_id, ())
            write = _join(plan, item, link, hits[0], current[hits[0]], directions, echoes, trusted_clock)
        elif directions.creates:
            write = _create(item, fresh, directions)
            for key in item.keys:
                matches.setdefault(key, (write.record_id,))
        else:
            plan.left += 1
            continue
        plan.writes.append(write)
        current[write.record_id] = Held(write.data, False)
    return plan


def _hits(item: Incoming, matches: Mapping[Key, tuple[uuid.UUID, ...]]) -> tuple[uuid.UUID, ...]:
    for key in item.keys:
        found = matches.get(key)
        if found:
            return found
    return ()


def _is_stale(link: Linked, item: Incoming, began: datetime | None) -> bool:
    if link.written_at is None or began is None or began > link.written_at:
        return False
    return item.version is None or item.version != link.external_version


def _create(item: Incoming, fresh: Iterator[uuid.UUID], directions: Directions) -> Write:
    # What only flows out is not agreed on yet, nor is what a person gave: nobody over there has that value.
    base = item.values
    if not directions.incoming.issuperset(base):
        base = {name: value for name, value in base.items() if name in directions.incoming}
    # One object where both are the same: it is written once then.
    values = {**base, **{n: v for n, v in item.given.items() if n in directions.incoming}} if item.given else base
    sends = not directions.outgoing.isdisjoint(item.given)
    return Write("created", item, next(fresh), values, {}, values, base, sends=sends)


def _join(
    plan: Plan, item: Incoming, link: Linked | None, record_id: uuid.UUID, record: Held, directions: Directions,
    echoes: tuple[Echo, ...], trusted_clock: bool,
) -> Write:  # fmt: skip
    base = link.base if link else {}
    heard = listen(base, item.values, echoes) if echoes else None
    if heard:
        plan.consumed += heard.consumed
        plan.near += heard.near
    if record.deleted:
        return _join_deleted(item, link, record_id, record, directions)
    newer = _newer(item, record) if trusted_clock else None
    merged = merge(base, record.data, item.values, directions, newer=newer, echoed=heard.fields if heard else ())
    merged = _give(item, merged)
    before, after = difference(record.data, merged.values)
    operation = "linked" if link is None else "restored" if link.deleted else "updated" if after else "same"
    return _write(operation, item, record_id, merged, before, after, directions)


def _give(item: Incoming, merged: Merged) -> Merged:
    """Take the values that a person gave; what is not agreed on flows out, where it does, and is merged later."""
    if not item.given:
        return merged
    base = {name: value for name, value in merged.base.items() if name not in item.given}
    return Merged({**merged.values, **item.given}, base, merged.clashes)


def _write(
    operation: str, item: Incoming, record_id: uuid.UUID, merged: Merged, before: dict[str, Any],
    after: dict[str, Any], directions: Directions, *, revived: bool = False,
) -> Write:  # fmt: skip
    asked = tuple(clash for clash in merged.clashes if clash.winner is None)
    decided = tuple(clash for clash in merged.clashes if clash.winner is not None)
    waiting = {clash.field for clash in asked}
    sends = any(name not in waiting for name in unsent(merged.values, merged.base, directions.outgoing))
    return Write(
        operation, item, record_id, merged.values, before, after, merged.base, asked, decided, sends, revived
    )  # fmt: skip


def _join_deleted(
    item: Incoming, link: Linked | None, record_id: uuid.UUID, record: Held, directions: Directions
) -> Write:
    """Join with a record that is deleted here: an edit over there brings it back, the same values again do not."""
    if link and not link.deleted and all(link.base.get(name) == value for name, value in item.values.items()):
        return Write("same", item, record_id, record.data, {}, {}, link.base)
    values = {**record.data, **{n: v for n, v in item.values.items() if n in directions.incoming}}
    revived = link is not None and not link.deleted
    merged = _give(item, merge(link.base if link else {}, values, item.values, directions))
    before, after = difference(record.data, merged.values)
    return _write("restored", item, record_id, merged, before, after, directions, revived=revived)


def _newer(item: Incoming, record: Held) -> Side | None:
    there = moment_of(item.updated_at)
    if there is None or record.updated_at is None or there == record.updated_at:
        return None
    return "theirs" if there > record.updated_at else "ours"


def moment_of(text: str | None) -> datetime | None:
    """Return a vendor's time, ISO 8601 or a number of seconds or milliseconds since 1970; None when it is neither."""
    if not text:
        return None
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
