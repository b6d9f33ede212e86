"""The status word of an installation, from every combination that matters."""

from datetime import UTC, datetime, timedelta

import pytest

from app.sync.status import Facts, status_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)


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
        (Facts("active", next_due_at=LONG_AGO), "late"),
        (Facts("active", next_due_at=LONG_AGO, running=True), "healthy"),
        (Facts("active", next_due_at=NOW - timedelta(minutes=2)), "healthy"),
    ],
)
def test_the_word(facts: Facts, word: str) -> None:
    assert status_of(facts, NOW) == word
