"""The status word of an installation, from every combination that matters, and the moment from which it is late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.sync.schedule import promise_of
from app.sync.status import Facts, late_at, status_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=1)
QUARTER = 15 * MINUTES
LATE = Facts("active", promise=QUARTER, promised_at=NOW - 9 * QUARTER, last_success_at=NOW - 21 * MINUTES)


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (Facts("setting_up"), "setting_up"),
        (Facts("active"), "healthy"),
        (Facts("paused"), "paused"),
        (Facts("removed"), "paused"),
        (Facts("active", blocked=True, failures_in_row=3), "action_needed"),
        (Facts("active", asking=True), "action_needed"),
        (Facts("active", failures_in_row=1, open_failed_records=4), "failing"),
        (Facts("active", open_failed_records=4), "incomplete"),
        (Facts("active", open_conflicts=1), "incomplete"),
        (Facts("active", streams_failed=True), "incomplete"),
        (LATE, "late"),
        (replace(LATE, running=True), "late"),
        (replace(LATE, open_conflicts=1), "incomplete"),
        (replace(LATE, failures_in_row=1), "failing"),
        (replace(LATE, state="paused"), "paused"),
        (replace(LATE, asking=True), "action_needed"),
        (replace(LATE, promise=None), "healthy"),
        (replace(LATE, last_success_at=NOW - 19 * MINUTES), "healthy"),
        (replace(LATE, promised_at=NOW - 19 * MINUTES), "healthy"),
        (replace(LATE, last_success_at=None), "late"),
        (replace(LATE, last_success_at=None, running=True), "healthy"),
        (replace(LATE, last_success_at=None, promised_at=None), "healthy"),
    ],
)
def test_the_word(facts: Facts, word: str) -> None:
    assert status_of(facts, NOW) == word


@pytest.mark.parametrize(
    ("kind", "length"),
    [("interval", 15 * MINUTES), ("hourly", 60 * MINUTES), ("daily", 1440 * MINUTES), ("manual", None)],
)
def test_what_a_schedule_promises(kind: str, length: timedelta | None) -> None:
    assert promise_of(kind, 15) == length


@pytest.mark.parametrize(
    ("promise", "grace"),
    [(5 * MINUTES, 5 * MINUTES), (60 * MINUTES, 6 * MINUTES), (1440 * MINUTES, 144 * MINUTES)],
)
def test_it_turns_late_at_the_promise_and_a_grace_after_the_last_success(promise: timedelta, grace: timedelta) -> None:
    facts = Facts("active", promise=promise, last_success_at=NOW)
    turns = NOW + promise + grace
    assert late_at(facts) == turns
    assert status_of(facts, turns) == "healthy"
    assert status_of(facts, turns + timedelta(seconds=1)) == "late"
    assert status_of(replace(facts, last_success_at=turns), turns + timedelta(seconds=1)) == "healthy"
    assert status_of(replace(facts, promised_at=turns), turns + timedelta(seconds=1)) == "healthy"
