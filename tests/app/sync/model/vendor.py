"""The other side in a dictionary, as good or as bad as its traits say; it keeps book of every write it is asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.sdk import ChangedError, ConnectorError, RetryableError

FIELDS = ("key", "a", "b", "c")
# What the vendor refuses, whoever writes it.
POISON = "poison"
Fault = Literal["cut_before", "cut_after"]


@dataclass(frozen=True)
class Traits:
    """What kind of vendor it is. `lag`: seconds until a search sees a new record; `window`: hours a key is remembered."""

    etags: Literal["good", "flaky", "null"] = "good"
    if_match: bool = True
    fetch: bool = True
    tombstones: bool = True
    answers: bool = True
    safety: Literal["idempotency_key", "lookup", "review"] = "lookup"
    key_and_lookup: bool = False
    lag: int = 0
    window: int = 24
    normalises: bool = False
    automation: bool = False
    operations: frozenset[str] = frozenset({"create", "update", "delete"})


@dataclass
class Item:
    """A record there. `by` says of each value whether a person there wrote it, or we."""

    data: dict[str, Any]
    seq: int
    by: dict[str, str]
    reference: str | None = None
    deleted: bool = False
    shown: int = 0


class RefusedError(ConnectorError):
    """The values of this record are not accepted."""


@dataclass
class Vendor:
    """`lost` are values of people there that a write of ours took away, `writes` counts those that had an effect."""

    traits: Traits
    items: dict[str, Item] = field(default_factory=dict)
    seq: int = 0
    clock: float = 0.0
    fault: Fault | None = None
    writes: int = 0
    bots: int = 0
    keys: dict[str, tuple[str, float]] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)
    taken: list[tuple[str, str, Any, bool]] = field(default_factory=list)

    # What people there do.

    def create_by_person(self, values: Mapping[str, Any]) -> str:
        """A person makes a record."""
        return self._insert(values, "person", None)

    def edit_by_person(self, external_id: str, name: str, value: Any) -> None:
        """A person changes a field."""
        item = self.items[external_id]
        self._touch(item)
        item.data[name], item.by[name] = value, "person"

    def delete_by_person(self, external_id: str) -> None:
        """A person deletes a record."""
        item = self.items[external_id]
        self._touch(item)
        item.deleted = True

    # What we ask for.

    def create(self, fields: Mapping[str, Any], reference: str) -> tuple[str, str | None, dict[str, Any] | None]:
        """Create; the same key within the window, or the same reference where it is the id, makes nothing new."""
        self._before()
        known = self.keys.get(reference) if self.traits.safety == "idempotency_key" else None
        if known and self.clock - known[1] < self.traits.window * 3600:
            external_id = known[0]
        else:
            self._judge(fields)
            external_id = self._insert(self._normalised(fields), "us", reference)
            self.keys[reference], self.born[external_id] = (external_id, self.clock), self.clock
            self.writes += 1
        return self._answer(external_id)

    def update(self, external_id: str, fields: Mapping[str, Any], version: str | None) -> tuple[str, str | None, Any]:
        """Set fields."""
        self._before()
        item = self._found(external_id, version)
        self._judge(fields)
        self._touch(item)
        for name, value in self._normalised(fields).items():
            if item.by.get(name) == "person" and item.data.get(name) != value:
                self.taken.append((external_id, name, item.data.get(name), False))
            item.data[name], item.by[name] = value, "us"
        self.writes += 1
        answer = self._answer(external_id, act=False)
        if self.traits.automation and "c" in fields:
            self.bots += 1
            self.edit_by_person(external_id, "c", f"bot {self.bots}")
        self._after()
        return answer

    def delete(self, external_id: str, version: str | None) -> None:
        """Delete; what is gone is gone."""
        self._before()
        item = self.items.get(external_id)
        if item is not None and not item.deleted:
            self._found(external_id, version)
            self._touch(item)
            item.deleted = True
            self.taken += [
                (external_id, name, value, True) for name, value in item.data.items() if item.by[name] == "person"
            ]
            self.writes += 1
        self._after()

    def fetch(self, external_id: str) -> tuple[str | None, dict[str, Any]] | None:
        """Return (version, data), None when it is gone."""
        item = self.items.get(external_id)
        return None if item is None or item.deleted else self.show(external_id)

    def show(self, external_id: str) -> tuple[str | None, dict[str, Any]]:
        """Return (version, data) of what a search has found."""
        item = self.items[external_id]
        return self._etag(item), self._shown(item)

    def find(self, reference: str) -> str | None:
        """Search for our reference; the index may be late."""
        for external_id, item in self.items.items():
            late = self.clock - self.born.get(external_id, 0.0) < self.traits.lag
            if item.reference == reference and not item.deleted and not late:
                return external_id
        return None

    def page(
        self, since: int | None, after: Any, size: int
    ) -> tuple[list[tuple[str, str | None, Any]], list[str], Any]:
        """Return (records, tombstones, next position): all by id, or those changed since by time; None is the end."""
        if since is None:
            found = [(name, name) for name in sorted(self.items) if not self.items[name].deleted]
        else:
            changed = sorted((item.seq, name) for name, item in self.items.items() if item.seq > since)
            found = [(seq, name) for seq, name in changed]  # type: ignore[misc]
        rest = [pair for pair in found if after is None or pair[0] > after]
        shown = [name for _, name in rest[:size]]
        records = [
            (n, self._etag(self.items[n]), self._shown(self.items[n])) for n in shown if not self.items[n].deleted
        ]
        dead = [name for name in shown if self.items[name].deleted] if self.traits.tombstones else []
        return records, dead, rest[size - 1][0] if len(rest) > size else None

    def live(self) -> dict[str, Item]:
        """Return what is there."""
        return {name: item for name, item in self.items.items() if not item.deleted}

    # Inside.

    def _insert(self, values: Mapping[str, Any], by: str, reference: str | None) -> str:
        external_id = f"x{len(self.items):03d}"
        self.seq += 1
        self.items[external_id] = Item(
            {name: values.get(name) for name in FIELDS}, self.seq, dict.fromkeys(FIELDS, by), reference
        )
        return external_id

    def _touch(self, item: Item) -> None:
        self.seq += 1
        item.seq = self.seq

    def _normalised(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        if not self.traits.normalises:
            return dict(fields)
        return {n: v.strip().lower() if n == "b" and isinstance(v, str) else v for n, v in fields.items()}

    def _judge(self, fields: Mapping[str, Any]) -> None:
        if POISON in fields.values():
            raise RefusedError("No such value.", code="refused")

    def _found(self, external_id: str, version: str | None) -> Item:
        item = self.items.get(external_id)
        if item is None or item.deleted:
            raise RefusedError("There is no such record.", code="not_found")
        if self.traits.if_match and version is not None and version.split(".")[0] != str(item.seq):
            raise ChangedError("It was changed since.")
        return item

    def _before(self) -> None:
        if self.fault == "cut_before":
            self.fault = None
            raise RetryableError("The request was lost.")

    def _after(self) -> None:
        if self.fault == "cut_after":
            self.fault = None
            raise RetryableError("The answer was lost.")

    def _answer(self, external_id: str, *, act: bool = True) -> tuple[str, str | None, dict[str, Any] | None]:
        item = self.items[external_id]
        answer = external_id, self._etag(item), self._shown(item) if self.traits.answers else None
        if act:
            self._after()
        return answer

    def _etag(self, item: Item) -> str | None:
        item.shown += 1
        if self.traits.etags == "null" or (self.traits.etags == "flaky" and item.shown % 3 == 0):
            return None
        # A flaky one is another at each look, although nothing has changed.
        return f"{item.seq}.{item.shown}" if self.traits.etags == "flaky" else str(item.seq)

    def _shown(self, item: Item) -> dict[str, Any]:
        return dict(item.data)


def values_of(data: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return these fields; what is missing is None."""
    return {name: data.get(name) for name in names}
