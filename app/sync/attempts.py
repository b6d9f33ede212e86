"""Tries of a dispatch, pure: what an answer says, when the next try is, when an endpoint is given up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

from app.sync.backoff import share

# Seconds after the try before; the first is made at once.
SCHEDULE = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
# An endpoint that only ever failed for so long is switched off.
GIVE_UP_AFTER = timedelta(days=5)
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a try came to. `error` is a sentence, empty where it was delivered; `pause`: the endpoint asks for quiet."""

    kind: Literal["delivered", "failed", "gone"]
    error: str = ""
    pause: float | None = None


def judge(status: int | None, headers: Mapping[str, str], trouble: str, at: datetime) -> Verdict:
    """Return what a status, or the trouble that came instead of one, says of a try. Only 2xx is a delivery."""
    if status is None:
        return Verdict("failed", trouble)
    if 200 <= status < 300:
        return Verdict("delivered")
    if status == 410:
        return Verdict("gone", "Answered 410: the endpoint wants no more events.")
    pause = _pause(headers.get("retry-after", ""), at) if status in (429, 503) else None
    if 300 <= status < 400:
        return Verdict("failed", f"Answered {status}: redirects are not followed. Enter the final address.")
    return Verdict("failed", f"Answered {status}.", pause)


def _pause(text: str, at: datetime) -> float | None:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3: seconds or a date), a day at most."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            there = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
        seconds = ((there if there.tzinfo else there.replace(tzinfo=UTC)) - at).total_seconds()
    return min(max(seconds, 0.0), LONGEST_PAUSE.total_seconds())


def next_delay(tries: int, *, seed: str) -> float | None:
    """Return the seconds until the next try after `tries` that failed, spread by a fifth; None when all are used."""
    if tries >= len(SCHEDULE):
        return None
    return SCHEDULE[tries] * (1 + JITTER * (2 * share(f"{seed}:{tries}") - 1))


def is_given_up(failing_since: datetime | None, at: datetime) -> bool:
    """Whether an endpoint that has failed since then, and never worked in between, is switched off."""
    return failing_since is not None and at - failing_since >= GIVE_UP_AFTER
