"""Which changes of status people are told of by e-mail: once, grouped, and again when it is over. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

GRAVITY = {"healthy": 0, "paused": 0, "setting_up": 0, "late": 1, "incomplete": 1, "failing": 2, "action_needed": 3}
# What is over by itself within this time is not told: retries and short outages.
SETTLES = {
    "action_needed": timedelta(minutes=1), "failing": timedelta(minutes=10), "late": timedelta(minutes=1),
    "incomplete": timedelta(minutes=5), "healthy": timedelta(minutes=5),
}  # fmt: skip
# So long nothing is said again about the same installation, unless it has become worse.
COOLS_DOWN = timedelta(hours=6)
Preference = Literal["problems", "action", "none"]
LEAST = {"problems": 1, "action": 3}


@dataclass(frozen=True)
class Standing:
    """A status, since when, and what people were told last, None when never."""

    key: str
    status: str
    since: datetime
    told: str | None = None
    told_at: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """What is told now, of each its key; and when to look again, None when nothing is under way."""

    bad: tuple[str, ...]
    over: tuple[str, ...]
    look_at: datetime | None


def decide(standings: Iterable[Standing], at: datetime) -> Decision:
    """Decide what to tell. What settles within the next minute is told at once, so that one message holds all."""
    bad: list[str] = []
    over: list[str] = []
    later: list[datetime] = []
    for one in standings:
        was = GRAVITY.get(one.told or "healthy", 0)
        gravity = GRAVITY[one.status]
        if gravity == was or one.status in ("paused", "setting_up"):
            continue
        due = one.since + SETTLES.get(one.status, timedelta(0))
        if gravity and gravity < was:
            continue  # Better, and not over: nothing to say.
        if gravity and one.told_at and not was:
            due = max(due, one.told_at + COOLS_DOWN)
        if due > at + timedelta(minutes=1):
            later.append(due)
        else:
            (bad if gravity else over).append(one.key)
    return Decision(tuple(bad), tuple(over), min(later, default=None))


def wants(preference: Preference, status: str) -> bool:
    """Whether somebody with this preference is told of this status."""
    return GRAVITY[status] >= LEAST.get(preference, 99)


def preference_of(chosen: str | None, role: str) -> Preference:
    """Return what somebody has chosen; without a choice who may repair hears of all, and others of nothing."""
    if chosen in ("problems", "action", "none"):
        return chosen  # type: ignore[return-value]  # as just checked
    return "none" if role == "member" else "problems"
