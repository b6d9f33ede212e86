"""What to do with the records of one page: pure, dataclasses in and out."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


def digest(data: Any) -> bytes:
    """Return 16 bytes that differ when `data` (JSON) differs; key order does not matter."""
    return hashlib.blake2b(orjson.dumps(data, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Linked:
    """What the link of an external record says."""

    id: uuid.UUID
    record_id: uuid.UUID
    source_hash: bytes
    mapping_version: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class Held:
    """The host's record as it is now."""

    data: dict[str, Any]
    deleted: bool


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mapped external record. `key` is its normalised match key, None when it has none."""

    external_id: str
    values: dict[str, Any]
    source_hash: bytes
    version: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """One record to write. `operation`: created, updated, linked, restored, or same (the link alone is new)."""

    operation: str
    incoming: Incoming
    record_id: uuid.UUID
    data: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(slots=True)
class Plan:
    """The writes of a page and what could not be decided."""

    writes: list[Write] = field(default_factory=list)
    conflicts: list[tuple[Incoming, tuple[uuid.UUID, ...]]] = field(default_factory=list)

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
    incoming: Iterable[Incoming],
    links: Mapping[str, Linked],
    held: Mapping[uuid.UUID, Held],
    matches: Mapping[str, tuple[uuid.UUID, ...]],
    ids: Iterable[uuid.UUID],
) -> Plan:
    """Decide for each mapped record of a page.

    `links` by external id, `held` by record id, `matches` match key -> records that have it, `ids` fresh ones for
    new records. Two records of one page with the same key become one record; a later page finds it by its key.
    """
    plan, fresh = Plan(), iter(ids)
    current = dict(held)
    known = dict(matches)
    for item in incoming:
        link = links.get(item.external_id)
        hits = (link.record_id,) if link else known.get(item.key, ()) if item.key else ()
        if len(hits) > 1:
            plan.conflicts.append((item, hits))
            continue
        if not hits:
            record_id = next(fresh)
            write = Write("created", item, record_id, item.values, {}, item.values)
            if item.key:
                known[item.key] = (record_id,)
        else:
            write = _join(item, link, hits[0], current[hits[0]])
        plan.writes.append(write)
        current[write.record_id] = Held(write.data, False)
    return plan


def _join(item: Incoming, link: Linked | None, record_id: uuid.UUID, record: Held) -> Write:
    before, after = difference(record.data, item.values)
    if (link is not None and link.deleted) or record.deleted:
        operation = "restored"
    elif link is None:
        operation = "linked"
    else:
        operation = "updated" if after else "same"
    return Write(operation, item, record_id, {**record.data, **item.values}, before, after)
