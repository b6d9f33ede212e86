"""The engine's tables as dictionaries: records, links, intents, conflicts and the journal, named as the real ones."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from app.sync.echoes import Echo
from app.sync.merge import Directions
from app.sync.plan import Linked

LIVE = ("planned", "sent", "in_doubt")


@dataclass
class Record:
    """A record of the host."""

    id: uuid.UUID
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted: bool = False


@dataclass
class Link:
    """The link of an external record."""

    id: uuid.UUID
    record_id: uuid.UUID
    base: dict[str, Any]
    source_hash: bytes
    mapping_version: int
    created_at: datetime
    version: str | None = None
    deleted: bool = False
    written_at: datetime | None = None
    missing: int = 0

    def linked(self) -> Linked:
        """Return it as plan_page takes it."""
        return Linked(
            self.id, self.record_id, self.source_hash, self.mapping_version, self.deleted, self.base, self.version,
            self.written_at,
        )  # fmt: skip


@dataclass
class Intent:
    """A write to the other side."""

    id: uuid.UUID
    record_id: uuid.UUID
    operation: str = "decide"
    state: str = "planned"
    again: bool = False
    more: bool = False
    external_id: str | None = None
    version: str | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    sent_hash: bytes | None = None
    answer_hash: bytes | None = None
    echoed: bool = False
    near: int = 0
    tries: int = 0
    sent_at: datetime | None = None
    mapping_version: int | None = None
    error: str | None = None
    cause: str = ""

    def echo(self) -> Echo:
        """Return it as the echo ledger takes it."""
        assert self.sent_hash is not None
        return Echo(self.id, tuple(sorted(self.values)), self.sent_hash, self.answer_hash)


@dataclass
class Conflict:
    """Two values of which one must give way; `policy` has decided it, or it is open."""

    external_id: str
    kind: str
    record_id: uuid.UUID | None
    base: dict[str, Any]
    ours: dict[str, Any]
    theirs: dict[str, Any]
    policy: str = ""
    candidates: tuple[uuid.UUID, ...] = ()
    open: bool = True


@dataclass(frozen=True)
class Change:
    """A row of the journal."""

    record_id: uuid.UUID
    operation: str
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass
class Pass:
    """A pass under way: `position` is the checkpoint, `fetched` a page that has been read and not been applied."""

    full: bool
    since: int | None
    next_since: int
    began: datetime
    position: Any = None
    last: bool = False
    seen: set[str] = field(default_factory=set)
    fetched: Any = None


@dataclass
class Tables:
    """All of it for one stream of one installation."""

    records: dict[uuid.UUID, Record] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    intents: dict[uuid.UUID, Intent] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    rereads: set[str] = field(default_factory=set)
    now: datetime = datetime(2026, 11, 27, 12, tzinfo=UTC)
    mapping_version: int = 1
    directions: Directions = field(default_factory=lambda: Directions(frozenset()))
    fields: tuple[str, ...] = ()
    delete_policy: str = "mirror"
    since: int | None = None
    complete: bool = False
    full_pass_due: bool = False
    ids: int = 0

    def new_id(self) -> uuid.UUID:
        """Return ids that rise."""
        self.ids += 1
        return uuid.UUID(int=self.ids)

    def tick(self, seconds: float = 1.0) -> datetime:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def live_intent(self, record_id: uuid.UUID) -> Intent | None:
        """Return the one write of a record that is not settled."""
        return next((i for i in self.intents.values() if i.record_id == record_id and i.state in LIVE), None)

    def plan(self, record_id: uuid.UUID, operation: str = "decide", *, cause: str = "") -> None:
        """Plan a write; one that is planned already stands for it. `cause` is "sync" or a person."""
        if not self.directions.outgoing:
            return
        live = self.live_intent(record_id)
        if live is None:
            made = Intent(self.new_id(), record_id, operation, cause=cause)
            self.intents[made.id] = made
        elif live.state != "planned":
            live.again = True

    def journal(
        self, record_id: uuid.UUID, operation: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Write a row of the journal."""
        self.changes.append(Change(record_id, operation, dict(before), dict(after)))

    def ties(self, record_id: uuid.UUID) -> list[tuple[str, Link]]:
        """Return the links of a record, oldest first."""
        return [(name, link) for name, link in self.links.items() if link.record_id == record_id]

    def open_conflict(self, external_id: str) -> Conflict | None:
        """Return the open conflict of an external record."""
        return next((c for c in self.conflicts if c.open and c.external_id == external_id), None)

    def add_conflict(self, conflict: Conflict) -> None:
        """Keep a conflict; an open one of the same external record is brought up to date."""
        known = None if conflict.policy else self.open_conflict(conflict.external_id)
        if known:
            self.conflicts.remove(known)
        conflict.open = not conflict.policy
        self.conflicts.append(conflict)
