"""A dry run's memory of what it would have written, so that later pages meet it as a real run's would. Pure."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.sync.keys import Key, keys_in
from app.sync.plan import Held, Linked, Plan

Matches = Mapping[Key, tuple[uuid.UUID, ...]]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a dry run reads: `records` of each stream, `seconds` of calls for all of them."""

    records: int
    seconds: float

    def spent_by(self, read: int, seconds: float, *, before: float, streams_left: int) -> str | None:
        """Say what has run out for a stream, records or time, None while there is some left.

        `seconds` are those of this stream, `before` those of the streams before it; the rest is divided evenly between
        this one and those after it, `streams_left` in all. The first page is always read.
        """
        if read >= self.records:
            return "records"
        share = (self.seconds - before) / max(streams_left, 1)
        return "time" if read and seconds >= share else None


@dataclass
class Memory:
    """What would be there by now.

    `records`: the values of each record that would have been made or changed, by object type; `created` are those that
    are not there. `links` are the joins of the stream being read, `shown` its external ids that have been joined
    before, `asked` the records of which a person must say which of them is over there.
    """

    records: dict[str, dict[uuid.UUID, dict[str, Any]]] = field(default_factory=dict)
    created: dict[str, set[uuid.UUID]] = field(default_factory=dict)
    links: dict[str, uuid.UUID] = field(default_factory=dict)
    shown: set[str] = field(default_factory=set)
    asked: set[uuid.UUID] = field(default_factory=set)
    _names: tuple[str, ...] = ()
    _keys: dict[Key, set[uuid.UUID]] = field(default_factory=lambda: defaultdict(set))
    _type: str = ""

    def open(self, object_type: str, match_keys: tuple[str, ...]) -> None:
        """Get ready for the pages of a stream, whether it begins or goes on."""
        self._type, self._names = object_type, match_keys
        self._keys = defaultdict(set)
        for record_id, data in self.records.setdefault(object_type, {}).items():
            self._index(record_id, data)
        self.created.setdefault(object_type, set())

    def close(self, *, later: Iterable[str]) -> None:
        """Forget the stream; of records, what streams of the object types `later` may still meet is kept."""
        self.links, self.shown, self.asked, kept = {}, set(), set(), set(later)
        self.records = {name: rows for name, rows in self.records.items() if name in kept}
        self.created = {name: ids for name, ids in self.created.items() if name in kept}

    @property
    def touched(self) -> Mapping[uuid.UUID, dict[str, Any]]:
        """The records of the open stream's type that would have been made or changed."""
        return self.records[self._type]

    @property
    def new(self) -> set[uuid.UUID]:
        """Those of them that are not there yet."""
        return self.created[self._type]

    def matches(self, found: Matches, wanted: Iterable[Key]) -> dict[Key, tuple[uuid.UUID, ...]]:
        """Return match key -> records that would have it by now; `found` are those that have it in the database."""
        rows = {}
        for key in wanted:
            stay = [hit for hit in found.get(key, ()) if hit not in self.touched]
            hits = (*stay, *sorted(self._keys.get(key, ())))
            if hits:
                rows[key] = hits
        return rows

    def held(self, found: Mapping[uuid.UUID, Held], wanted: Iterable[uuid.UUID]) -> dict[uuid.UUID, Held]:
        """Return the wanted records as they would be by now."""
        return {**found, **{i: Held(self.touched[i], False) for i in wanted if i in self.touched}}

    def note(self, plan: Plan) -> None:
        """Remember what a page would have written."""
        self.asked.update(hit for _, hits in plan.conflicts for hit in hits)
        for write in plan.writes:
            self.links[write.incoming.external_id] = write.record_id
            if write.operation == "created":
                self.new.add(write.record_id)
            if write.operation == "created" or write.after or write.operation == "restored":
                old = self.touched.get(write.record_id)
                for key in keys_in(old or {}, self._names):
                    self._keys[key].discard(write.record_id)
                self.records[self._type][write.record_id] = write.data
                self._index(write.record_id, write.data)

    def _index(self, record_id: uuid.UUID, data: dict[str, Any]) -> None:
        for key in keys_in(data, self._names):
            self._keys[key].add(record_id)

    def is_news(self, external_id: str, link: Linked | None, source_hash: bytes, mapping_version: int) -> bool:
        """Whether a record is not as its link says, or would say by now."""
        if external_id in self.links:
            return False
        if link is None or link.deleted:
            return True
        return link.source_hash != source_hash or link.mapping_version != mapping_version

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "records": {t: {str(i): data for i, data in rows.items()} for t, rows in self.records.items()},
            "created": {t: [str(i) for i in ids] for t, ids in self.created.items()},
            "links": {name: str(record_id) for name, record_id in self.links.items()},
            "shown": sorted(self.shown),
            "asked": sorted(map(str, self.asked)),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Memory":
        """Return it from JSON."""
        return cls(
            {t: {uuid.UUID(i): row for i, row in rows.items()} for t, rows in data["records"].items()},
            {t: {uuid.UUID(i) for i in ids} for t, ids in data["created"].items()},
            {name: uuid.UUID(record_id) for name, record_id in data["links"].items()},
            set(data["shown"]),
            {uuid.UUID(i) for i in data.get("asked", ())},
        )
