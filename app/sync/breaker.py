"""Circuit breakers, pure: when calls to a side that does not answer stop, when one probe may try, how many may repeat.

One breaker for each vendor host and one for each connection. A 429 paces and never opens; a refused sign-in stops the
connection (sync.retry), and for the breaker it is an answer like any other.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from app.sync.backoff import share
from connectors.sdk.errors import UnavailableError

State = Literal["closed", "open", "half_open"]
Outcome = Literal["answered", "limited", "failed"]

WINDOW = timedelta(seconds=60)
FAILURES_IN_ROW = 5
LEAST_CALLS = 10
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 900.0
# A probe whose worker was lost is given to another after this; no call takes as long.
PROBE = timedelta(seconds=60)
# Whoever finds a probe under way comes back after this many seconds, or up to twice as many.
PROBE_PAUSE = 5.0
_MOST_DOUBLINGS = 5
# Of ten calls one may be a repeated one, but this many in any case.
RETRY_SHARE = 10
RETRY_FLOOR = 10


class VendorDownError(UnavailableError):
    """No call was made, or it was the last for now: the other side does not answer, and calls pause for `retry_after`.

    `sent` tells the two apart: only a call that was made can have done something.
    """

    sent = False


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of one side. `calls`, `failures` and `retries` count in the minute that began at `window_at`."""

    state: State = "closed"
    failures_in_row: int = 0
    window_at: datetime | None = None
    calls: int = 0
    failures: int = 0
    retries: int = 0
    opens_in_row: int = 0
    open_until: datetime | None = None
    # Who may make the one call of `half_open`, and until when.
    probe: uuid.UUID | None = None
    probe_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a worker may call; if not, in how many seconds it asks again. `over_budget`: only for its repetitions."""

    go: bool
    wait: float = 0.0
    over_budget: bool = False


def outcome_of(status: int) -> Outcome:
    """Return what an answer's status says of the side that sent it: any answer but these two kinds is a sign of life."""
    if status == 429:
        return "limited"
    return "failed" if status >= 500 or status in (408, 425) else "answered"


def admit(
    breaker: Breaker, at: datetime, holder: uuid.UUID, *, retry: bool = False, seed: str = ""
) -> tuple[Breaker, Admission]:
    """Return whether `holder` may call now, and the breaker after that: with its probe taken, or its retry counted.

    `retry` says that the call repeats one that has failed; at most a tenth of the calls may, beyond a floor.
    """
    if breaker.state == "closed":
        return _within_budget(breaker, at) if retry else (breaker, Admission(True))
    assert breaker.open_until is not None
    if at < breaker.open_until:
        # They come back one after the other, and the first is the probe.
        left = (breaker.open_until - at).total_seconds()
        return breaker, Admission(False, left + PROBE_PAUSE * share(seed))
    taken = breaker.probe not in (None, holder) and breaker.probe_until is not None and at < breaker.probe_until
    if taken:
        return breaker, Admission(False, PROBE_PAUSE * (1 + share(seed)))
    return replace(breaker, state="half_open", probe=holder, probe_until=at + PROBE), Admission(True)


def _within_budget(breaker: Breaker, at: datetime) -> tuple[Breaker, Admission]:
    breaker = _in_window(breaker, at)
    assert breaker.window_at is not None
    if breaker.retries < max(RETRY_FLOOR, breaker.calls // RETRY_SHARE):
        return replace(breaker, retries=breaker.retries + 1), Admission(True)
    return breaker, Admission(False, (breaker.window_at + WINDOW - at).total_seconds(), over_budget=True)


def record(
    breaker: Breaker, outcomes: Iterable[Outcome], at: datetime, holder: uuid.UUID, *, seed: str = ""
) -> Breaker:
    """Return the breaker after these calls of `holder`, oldest first.

    While it is open nothing counts: those calls were begun before. In half-open only the one that has the probe counts.
    """
    for outcome in outcomes:
        if breaker.state == "half_open" and breaker.probe == holder:
            breaker = _open(breaker, at, seed) if outcome == "failed" else Breaker(window_at=at)
        if breaker.state == "closed" and outcome != "limited":
            breaker = _count(_in_window(breaker, at), outcome, at, seed)
    return breaker


def give_back(breaker: Breaker, holder: uuid.UUID) -> Breaker:
    """Return the breaker with the probe free again that `holder` took and did not use."""
    if breaker.state != "half_open" or breaker.probe != holder:
        return breaker
    return replace(breaker, state="open", probe=None, probe_until=None)


def _in_window(breaker: Breaker, at: datetime) -> Breaker:
    if breaker.window_at is not None and at < breaker.window_at + WINDOW:
        return breaker
    return replace(breaker, window_at=at, calls=0, failures=0, retries=0)


def _count(breaker: Breaker, outcome: Outcome, at: datetime, seed: str) -> Breaker:
    failed = outcome == "failed"
    breaker = replace(
        breaker, calls=breaker.calls + 1, failures=breaker.failures + failed,
        failures_in_row=breaker.failures_in_row + 1 if failed else 0,
    )  # fmt: skip
    half = breaker.calls >= LEAST_CALLS and 2 * breaker.failures >= breaker.calls
    return _open(breaker, at, seed) if failed and (half or breaker.failures_in_row >= FAILURES_IN_ROW) else breaker


def _open(breaker: Breaker, at: datetime, seed: str) -> Breaker:
    opens = breaker.opens_in_row + 1
    # Spread by up to a quarter, so that the accounts of one vendor do not all ask at the same moment.
    pause = min(FIRST_PAUSE * 2 ** min(opens - 1, _MOST_DOUBLINGS) * (1 + share(f"{seed}:{opens}") / 4), LONGEST_PAUSE)
    return Breaker("open", opens_in_row=opens, open_until=at + timedelta(seconds=pause))
