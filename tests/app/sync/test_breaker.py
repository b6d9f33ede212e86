"""Circuit breakers: every transition, and when each call, probe and repetition is let through (P05)."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from app.sync.breaker import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    PROBE,
    PROBE_PAUSE,
    WINDOW,
    Breaker,
    Outcome,
    admit,
    give_back,
    outcome_of,
    record,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def told(*outcomes: Outcome, breaker: Breaker | None = None, at: datetime = NOW, holder: uuid.UUID = ME) -> Breaker:
    return record(breaker or Breaker(), outcomes, at, holder, seed="host")


def opened(times: int = 1) -> Breaker:
    """A breaker that has opened so many times in a row, each probe failed."""
    breaker = told(*["failed"] * 5)
    for _ in range(times - 1):
        assert breaker.open_until
        breaker, answer = admit(breaker, breaker.open_until, ME)
        assert answer.go
        assert breaker.probe_until
        breaker = told("failed", breaker=breaker, at=breaker.probe_until - PROBE)
    return breaker


def pause_of(breaker: Breaker, at: datetime = NOW) -> float:
    assert breaker.open_until
    return (breaker.open_until - at).total_seconds()


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        (["failed"] * 4, "closed"),
        (["failed"] * 5, "open"),
        (["failed"] * 4 + ["answered", "failed"], "closed"),
        (["failed"] * 4 + ["limited", "failed"], "open"),
        (["limited"] * 50, "closed"),
        (["answered"] * 5 + ["failed"] * 4, "closed"),
        (["answered", "failed"] * 4 + ["answered"], "closed"),
        (["answered", "failed"] * 5, "open"),
        (["answered"] * 6 + ["failed"] * 4, "closed"),
        (["answered"] * 5 + ["failed"] * 3 + ["answered"] + ["failed"] * 2, "closed"),
        (["failed", "failed", "answered"] * 3 + ["answered"], "closed"),
        (["failed", "failed", "answered"] * 3 + ["failed"], "open"),
    ],
)
def test_it_opens_at_five_in_a_row_or_half_of_ten(outcomes: list[Outcome], state: str) -> None:
    assert told(*outcomes).state == state


def test_what_was_counted_in_an_earlier_minute_does_not_count_but_a_row_goes_on() -> None:
    breaker = told(*["answered", "failed"] * 4)
    assert (breaker.calls, breaker.failures) == (8, 4)
    just_within = told("answered", "failed", breaker=breaker, at=NOW + WINDOW - timedelta(seconds=1))
    assert just_within.state == "open"
    next_minute = told("answered", "failed", breaker=breaker, at=NOW + WINDOW)
    assert (next_minute.state, next_minute.calls, next_minute.failures) == ("closed", 2, 1)
    row = told(*["failed"] * 4)
    assert told("failed", breaker=row, at=NOW + 10 * WINDOW).state == "open"


def test_while_it_is_open_nobody_calls_and_nothing_counts() -> None:
    breaker = opened()
    for at in (NOW, breaker.open_until - timedelta(seconds=1)):  # type: ignore[operator]
        same, answer = admit(breaker, at, ME, seed="a")
        assert (same, answer.go) == (breaker, False)
        left = (breaker.open_until - at).total_seconds()  # type: ignore[operator]
        assert left <= answer.wait <= left + PROBE_PAUSE
    assert told(*["answered"] * 20, breaker=breaker) == breaker
    assert told(*["failed"] * 20, breaker=breaker) == breaker


def test_those_that_wait_come_back_one_after_the_other() -> None:
    waits = {admit(opened(), NOW, ME, seed=str(number))[1].wait for number in range(50)}
    assert len(waits) == 50


def test_half_open_lets_one_probe_through() -> None:
    breaker = opened()
    assert breaker.open_until
    half, answer = admit(breaker, breaker.open_until, ME)
    assert (half.state, half.probe, answer.go) == ("half_open", ME, True)
    for second in (0, 30, 59):
        same, refused = admit(half, breaker.open_until + timedelta(seconds=second), OTHER, seed="x")
        assert (same, refused.go) == (half, False)
        assert PROBE_PAUSE <= refused.wait <= 2 * PROBE_PAUSE
    assert admit(half, breaker.open_until, ME)[1].go, "its holder is not kept from it"


def test_a_probe_whose_worker_was_lost_goes_to_another() -> None:
    breaker = opened()
    assert breaker.open_until
    half, _ = admit(breaker, breaker.open_until, ME)
    again, answer = admit(half, breaker.open_until + PROBE, OTHER)
    assert (again.state, again.probe, answer.go) == ("half_open", OTHER, True)
    assert told("answered", breaker=again, at=breaker.open_until + PROBE) == again, "the lost one says nothing more"
    assert told("failed", breaker=again, at=breaker.open_until + PROBE) == again


@pytest.mark.parametrize("outcome", ["answered", "limited"])
def test_a_probe_that_is_answered_closes_it(outcome: Outcome) -> None:
    breaker = opened(3)
    assert breaker.open_until
    half, _ = admit(breaker, breaker.open_until, ME)
    closed = told(outcome, breaker=half, at=breaker.open_until)
    assert (closed.state, closed.opens_in_row, closed.failures_in_row) == ("closed", 0, 0)
    assert closed.probe is None
    assert closed.calls == (1 if outcome == "answered" else 0)
    assert told(*["failed"] * 4, breaker=closed, at=breaker.open_until).state == "closed"
    assert told(*["failed"] * 5, breaker=closed, at=breaker.open_until).opens_in_row == 1


def test_calls_of_others_say_nothing_in_half_open() -> None:
    breaker = opened()
    assert breaker.open_until
    half, _ = admit(breaker, breaker.open_until, ME)
    assert told("answered", "failed", breaker=half, at=breaker.open_until, holder=OTHER) == half


def test_each_failed_probe_doubles_the_pause_up_to_a_quarter_of_an_hour() -> None:
    pauses = []
    for times in range(1, 9):
        breaker = opened(times)
        assert breaker.opens_in_row == times
        begun = NOW
        if times > 1:
            earlier = opened(times - 1)
            assert earlier.open_until
            begun = earlier.open_until
        pauses.append(pause_of(breaker, begun))
    for number, pause in enumerate(pauses):
        least = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)
        assert least <= pause <= min(1.25 * least, LONGEST_PAUSE), number
    assert pauses[-1] == LONGEST_PAUSE
    assert opened() == opened(), "the same seed, the same pause"
    assert record(Breaker(), ["failed"] * 5, NOW, ME, seed="other").open_until != opened().open_until


def test_a_side_that_is_away_for_weeks_is_still_counted() -> None:
    assert pause_of(told("failed", breaker=Breaker("half_open", opens_in_row=5000, probe=ME))) == LONGEST_PAUSE


def test_a_probe_that_was_not_used_is_given_back() -> None:
    breaker = opened()
    assert breaker.open_until
    half, _ = admit(breaker, breaker.open_until, ME)
    assert give_back(half, OTHER) == half
    free = give_back(half, ME)
    assert free == breaker
    assert admit(free, breaker.open_until, OTHER)[1].go
    assert give_back(Breaker(), ME) == Breaker()


def test_ten_repetitions_a_minute_are_let_through_and_a_tenth_of_the_calls_beyond() -> None:
    def spend(breaker: Breaker, at: datetime = NOW) -> tuple[Breaker, int]:
        count = 0
        while True:
            breaker, answer = admit(breaker, at, ME, retry=True)
            if not answer.go:
                assert answer.over_budget
                return breaker, count
            count += 1

    few, count = spend(told(*["answered"] * 60))
    assert (count, few.retries) == (10, 10)
    many, count = spend(told(*["answered"] * 249))
    assert count == 24
    assert admit(many, NOW, ME)[1].go, "what is no repetition is not held up"
    _, late = admit(many, after(45), ME, retry=True)
    assert (late.go, late.wait) == (False, 15.0)
    assert spend(many, after(60))[1] == 10, "a new minute"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "answered"), (401, "answered"), (403, "answered"), (404, "answered"), (409, "answered"), (304, "answered"),
     (408, "failed"), (425, "failed"), (429, "limited"), (500, "failed"), (503, "failed")],
)  # fmt: skip
def test_what_an_answer_says(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome
