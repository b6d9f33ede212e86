"""What the pages of a stream have in common, and what is counted of them."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from app.services.sensitive_fields import mask_quotes
from app.sync.merge import Directions
from app.sync.promise import Promise
from connectors.sdk import CompiledMapping, FieldProblem


class QuestionError(Exception):
    """A person must answer before the run goes on; nothing of the page or pass has been written."""

    def __init__(self, kind: str, **facts: Any) -> None:
        super().__init__(kind)
        self.question = {"kind": kind, **facts}


@dataclass(frozen=True)
class Out:
    """A stream of an installation that records of one object type are written to."""

    installation_id: uuid.UUID
    stream: str


@dataclass(frozen=True)
class PageContext:
    """Everything about a stream of a run that does not change from page to page.

    `outs` are all streams of the tenant that records of this type are written to, this one with them. `left_out` says
    of mapped values why a filter leaves them out, None when none does. `hidden`: fields whose values no message quotes. `tombstones`: incremental passes show what was
    deleted. `promise` is what the dry run has predicted,
    while the run is held to it.
    """

    tenant_id: uuid.UUID
    installation_id: uuid.UUID
    stream: str
    object_type: str
    mapping: CompiledMapping
    mapping_version: int
    match_keys: tuple[str, ...]
    key_fields: tuple[str, ...]
    hidden: frozenset[str]
    writer: str
    directions: Directions
    outs: tuple[Out, ...] = ()
    left_out: Callable[[dict[str, Any]], str | None] | None = None
    trusted_clock: bool = False
    tombstones: bool = False
    delete_policy: str = "mirror"
    run_id: uuid.UUID | None = None
    run_stream_id: uuid.UUID | None = None
    full: bool = False
    confirmed: bool = False
    promise: Promise | None = None

    def sentence(self, problem: FieldProblem) -> str:
        """Return what is said of a value that does not fit; one that is not shown is not quoted."""
        return mask_quotes(problem.message) if problem.field in self.hidden else problem.message

    @property
    def match_key(self) -> str | None:
        """The field that external records are matched by first."""
        return self.match_keys[0] if self.match_keys else None

    @property
    def out(self) -> Out | None:
        """This stream, where it is written to."""
        here = Out(self.installation_id, self.stream)
        return here if here in self.outs else None


@dataclass
class Counts:
    """What became of the records of a page."""

    read: int = 0
    created: int = 0
    updated: int = 0
    linked: int = 0
    unchanged: int = 0
    deleted: int = 0
    filtered: int = 0
    failed: int = 0
    conflicts: int = 0
    outgoing: int = 0

    def add(self, other: "Counts") -> None:
        """Count another page as well."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))
