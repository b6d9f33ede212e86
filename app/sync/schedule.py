"""When a schedule is due next: pure, in the tenant's zone, with summer time."""

import hashlib
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def next_due(
    kind: str, after: datetime, *, minutes: int = 15, at: time | None = None, zone: str = "UTC", seed: str = ""
) -> datetime | None:
    """Return the first slot after `after` (aware UTC), None for `manual`.

    `interval` counts from `after`; `hourly` and `daily` are spread by up to two minutes by `seed`, so that a thousand
    installations with the same time do not call at the same second. Slots missed while nothing ran are not made up.
    """
    if kind == "interval":
        return after + timedelta(minutes=minutes)
    if kind == "hourly":
        slot = after.replace(minute=0, second=0, microsecond=0) + _spread(seed)
        return slot if slot > after else slot + timedelta(hours=1)
    if kind == "daily":
        return _daily(after, at or time(3), ZoneInfo(zone), seed)
    return None


def promise_of(kind: str, minutes: int) -> timedelta | None:
    """Return how old the data of an installation may become by its schedule, None for `manual`."""
    lengths = {"interval": timedelta(minutes=minutes), "hourly": timedelta(hours=1), "daily": timedelta(days=1)}
    return lengths.get(kind)


def _daily(after: datetime, at: time, zone: ZoneInfo, seed: str) -> datetime:
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        # A time that the change to summer time skips falls on the moment after the gap (PEP 495, fold=0).
        slot = datetime.combine(day, at, tzinfo=zone).astimezone(UTC) + _spread(seed)
        if slot > after:
            return slot
        day += timedelta(days=1)


def _spread(seed: str) -> timedelta:
    return timedelta(seconds=int.from_bytes(hashlib.sha256(seed.encode()).digest()[:2], "big") % 120)
