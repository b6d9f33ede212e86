"""What is known of a record that somebody asks about, and what is answered: plain data for `diagnosis`. Pure."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

ActKind = Literal[
    "finish_setup", "resume", "reconnect", "open_problem", "open_run", "run_now", "choose_stream", "change_direction",
    "widen_filter", "change_mapping", "retry", "open_conflict", "read_now", "look_there", "ask_id", "restore", "send_now",
    "create_there", "open_failed", "resync",
]  # fmt: skip
State = Literal["passed", "stopped", "unknown", "ahead"]


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called in sentences: the installation, our side, the stream, one of its records."""

    vendor: str
    host: str
    stream: str
    thing: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the installation and its stream stand.

    `blocked`: the code that stopped it; `problem` says the same in words. `forbidden`: why the stream may not be read.
    `waits`: why the live run waits, in words, until `waits_until`. `operations`: what the other side lets us do.
    """

    state: str = "active"
    enabled: bool = True
    direction: str = "in"
    operations: frozenset[str] = frozenset()
    delete_policy: str = "mirror"
    can_fetch: bool = True
    first_pass_done: bool = True
    paused_reason: str = ""
    blocked: str = ""
    problem: str = ""
    fix: str = ""
    problem_id: uuid.UUID | None = None
    asking: uuid.UUID | None = None
    forbidden: str = ""
    running: uuid.UUID | None = None
    waits: str = ""
    waits_until: datetime | None = None
    next_run: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tie:
    """The link with an external record: since when, when it was last read or written, when it ended."""

    external_id: str
    since: datetime | None = None
    agreed_at: datetime | None = None
    ended_at: datetime | None = None
    mapping_version: int | None = None


@dataclass(frozen=True, slots=True)
class Here:
    """Our record, and who deleted it when."""

    record_id: uuid.UUID
    changed_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """An open failed record. `target` is the field that did not fit, `label` its name.

    `mapped`: our mapping refused it, not the other side; `doubt`: nobody knows whether the other side has it.
    """

    id: uuid.UUID
    state: str
    message: str
    mapped: bool = True
    doubt: bool = False
    target: str | None = None
    label: str = ""
    tries: int = 1
    retry_at: datetime | None = None
    failed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clash:
    """An open conflict. `values`: label -> (last agreed, ours, theirs)."""

    id: uuid.UUID
    kind: str
    since: datetime | None = None
    candidates: int = 0
    values: Mapping[str, tuple[Any, Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Write:
    """The newest write of the record to the other side: a state of an intent, and why it is so."""

    state: str
    operation: str = "decide"
    code: str = ""
    reason: str = ""
    planned_at: datetime | None = None
    due_at: datetime | None = None
    sent_at: datetime | None = None
    settled_at: datetime | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The filter that leaves the record out, in words, with the value it is about."""

    sentence: str
    label: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True)
class Live:
    """What the other side answered when it was asked for the record just now.

    `problem`: why it could not be asked. `target`, `label` and `message`: what the mapping refuses. `hits`: how many of
    our records have its match key. `differs`: labels of fields that are not as last agreed, with their values there.
    """

    asked_at: datetime | None = None
    problem: str = ""
    fix: str = ""
    found: bool = False
    target: str | None = None
    label: str = ""
    message: str = ""
    left_out: LeftOut | None = None
    hits: int = 0
    differs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known about one record at one stream of an installation.

    `text` is what was pasted, `by_id` whether it can be an id. `external_id` is what the other side knows it by.
    `unsent`: label -> our value of the fields in which we differ from what was agreed and that flow out; `kept`: those
    that do not. `read_queued`: a worker has been asked to read it.
    """

    names: Names
    standing: Standing = Standing()
    text: str = ""
    by_id: bool = True
    external_id: str | None = None
    tie: Tie | None = None
    here: Here | None = None
    failed_in: Failed | None = None
    failed_out: Failed | None = None
    clash: Clash | None = None
    write: Write | None = None
    left_out: LeftOut | None = None
    unsent: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    live: Live | None = None
    looking: bool = False
    read_queued: bool = False

    @property
    def only_here(self) -> bool:
        """Whether the other side has never had the record, as far as is known."""
        unread = self.failed_in is None and not (self.clash and self.clash.kind == "match")
        return self.here is not None and self.tie is None and unread and not (self.live and self.live.found)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that proves a step: a value, or a time."""

    label: str
    value: Any


@dataclass(frozen=True, slots=True)
class Act:
    """The one thing to do about a step; `target` is the id, external id or field that it is done to."""

    kind: ActKind
    label: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the path: `short` stands under its socket, `text` is the sentence, `outcome` its code where it stops."""

    key: str
    short: str
    state: State
    text: str = ""
    evidence: tuple[Evidence, ...] = ()
    outcome: str = ""
    act: Act | None = None


Check = Callable[[Facts], Step]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The path of a record. The first step that stops it, or that nobody knows of, decides."""

    steps: tuple[Step, ...]

    @property
    def decisive(self) -> Step:
        """The first step that is not passed, the last one when all are."""
        return next((step for step in self.steps if step.state in ("stopped", "unknown")), self.steps[-1])

    @property
    def outcome(self) -> str:
        """The code of what was found."""
        return self.decisive.outcome

    @property
    def in_sync(self) -> bool:
        """Whether nothing stops the record."""
        return self.outcome == "in_sync"
