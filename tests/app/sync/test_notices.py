"""What people are told of a status, when, and when not."""

from datetime import UTC, datetime, timedelta

import pytest

from app.sync.notices import COOLS_DOWN, Decision, Standing, decide, preference_of, wants

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
NOTHING = Decision((), (), None)


def standing(status: str, minutes: float, told: str | None = None, told_ago: timedelta | None = None) -> Standing:
    return Standing(
        "a", status, NOW - timedelta(minutes=minutes), told, NOW - told_ago if told_ago is not None else None
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (standing("healthy", 500), NOTHING),
        (standing("action_needed", 1), Decision(("a",), (), None)),
        # It may be over by itself: looked at again when it would have settled.
        (standing("failing", 2), Decision((), (), NOW + timedelta(minutes=8))),
        (standing("failing", 10), Decision(("a",), (), None)),
        # Told already.
        (standing("failing", 90, "failing", timedelta(hours=1)), NOTHING),
        # Worse: told at once. Better, and not over: not told.
        (standing("action_needed", 1, "failing", timedelta(minutes=2)), Decision(("a",), (), None)),
        (standing("incomplete", 60, "action_needed", timedelta(hours=1)), NOTHING),
        # Over, once it has held for a while; a pause ends nothing.
        (standing("healthy", 1, "failing", timedelta(hours=1)), Decision((), (), NOW + timedelta(minutes=4))),
        (standing("healthy", 5, "failing", timedelta(hours=1)), Decision((), ("a",), None)),
        (standing("paused", 50, "failing", timedelta(hours=1)), NOTHING),
        # To and fro: nothing is said again about it for some hours.
        (
            standing("failing", 20, "healthy", timedelta(hours=1)),
            Decision((), (), NOW - timedelta(hours=1) + COOLS_DOWN),
        ),
        (standing("failing", 20, "healthy", COOLS_DOWN), Decision(("a",), (), None)),
        (standing("late", 1), Decision(("a",), (), None)),
    ],
)
def test_what_is_told(given: Standing, expected: Decision) -> None:
    assert decide([given], NOW) == expected


def test_what_settles_within_the_minute_goes_into_the_same_message() -> None:
    one = Standing("a", "action_needed", NOW - timedelta(minutes=1))
    two = Standing("b", "failing", NOW - timedelta(minutes=9, seconds=30))
    assert decide([one, two], NOW).bad == ("a", "b")


@pytest.mark.parametrize(
    ("chosen", "role", "status", "told"),
    [
        (None, "owner", "late", True), (None, "member", "action_needed", False), ("problems", "member", "late", True),
        ("action", "admin", "failing", False), ("action", "admin", "action_needed", True),
        ("none", "owner", "action_needed", False),
    ],
)  # fmt: skip
def test_who_is_told(chosen: str | None, role: str, status: str, told: bool) -> None:
    assert wants(preference_of(chosen, role), status) is told
