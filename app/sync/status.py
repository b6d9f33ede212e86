"""The one status word of an installation: a pure function of what is known about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Status = Literal["healthy", "late", "incomplete", "failing", "action_needed", "paused", "setting_up"]
_GRACE = timedelta(minutes=5)


@dataclass(frozen=True)
class Facts:
    """What the word is computed from."""

    state: str
    blocked: bool = False
    failures_in_row: int = 0
    open_failed_records: int = 0
    open_conflicts: int = 0
    next_due_at: datetime | None = None
    running: bool = False
    asking: bool = False


def status_of(facts: Facts, at: datetime) -> Status:
    """Return the word: the first that applies, from what needs a person to what is merely slow."""
    if facts.state == "setting_up":
        return "setting_up"
    if facts.blocked or facts.asking:
        return "action_needed"
    if facts.state in ("paused", "removed"):
        return "paused"
    if facts.failures_in_row:
        return "failing"
    if facts.open_failed_records or facts.open_conflicts:
        return "incomplete"
    if facts.next_due_at and not facts.running and at > facts.next_due_at + _GRACE:
        return "late"
    return "healthy"
