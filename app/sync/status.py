"""The one status word of an installation: a pure function of what is known about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Status = Literal["healthy", "late", "incomplete", "failing", "action_needed", "paused", "setting_up"]
_GRACE = timedelta(minutes=5)
_GRACE_SHARE = 10


@dataclass(frozen=True)
class Facts:
    """What the word is computed from. `promise`: how old the data may be, None where nothing is promised."""

    state: str
    blocked: bool = False
    failures_in_row: int = 0
    open_failed_records: int = 0
    open_conflicts: int = 0
    streams_failed: bool = False
    running: bool = False
    asking: bool = False
    promise: timedelta | None = None
    promised_at: datetime | None = None
    last_success_at: datetime | None = None


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
    if facts.open_failed_records or facts.open_conflicts or facts.streams_failed:
        return "incomplete"
    late = late_at(facts)
    if late and at > late:
        return "late"
    return "healthy"


def late_at(facts: Facts) -> datetime | None:
    """Return the moment from which the data is older than the schedule promises, None when that never comes.

    It counts from the last success, whatever is due or running since: a run that waits does not make the data fresh.
    A promise that is younger than the last success counts from its own beginning; a first load takes the time it takes.
    """
    moments = [moment for moment in (facts.last_success_at, facts.promised_at) if moment]
    first_load = facts.last_success_at is None and facts.running
    if facts.state != "active" or facts.promise is None or not moments or first_load:
        return None
    return max(moments) + facts.promise + max(_GRACE, facts.promise / _GRACE_SHARE)
