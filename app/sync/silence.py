"""Whether webhooks have stayed away for unusually long. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

# Quiet for three times the usual gap, but never looked into sooner than this: one poll more costs little, not nothing.
TIMES, FLOOR = 3, timedelta(minutes=15)
_MONTH = timedelta(days=30)


def patience(moments: Sequence[datetime]) -> timedelta | None:
    """Return how long an endpoint may be quiet, from when its last deliveries came (newest first); None when nothing
    says what is usual."""
    if len(moments) < 5:
        return None
    usual = (moments[0] - moments[-1]) / (len(moments) - 1)
    return min(max(TIMES * usual, FLOOR), _MONTH)


def look_at(moments: Sequence[datetime], checked_at: datetime | None) -> datetime | None:
    """Return when to look into a silence: after the patience, then each time it has lasted twice as long."""
    allowed = patience(moments)
    if allowed is None:
        return None
    last = moments[0]
    if checked_at is None or checked_at <= last:
        return last + allowed
    return checked_at + (checked_at - last)
