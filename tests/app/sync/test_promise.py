"""Ranges of a promise, and when a run leaves them."""

import pytest

from app.sync.promise import Broken, broken, left_of, promise_of


def test_an_exact_reading_promises_a_tenth_and_never_less_than_twenty_records() -> None:
    promise = promise_of({"created": 1000, "linked": 30, "conflicts": 0, "create_there": 12})
    assert promise == {"created": [900, 1100], "linked": [10, 50], "conflicts": [0, 20], "create_there": [0, 32]}


def test_a_guess_is_wider_and_what_only_the_host_has_can_but_become_less() -> None:
    promise = promise_of({"created": 1000, "linked": 30, "create_there": 400}, factor=4.821)
    assert promise == {"created": [2410, 7232], "linked": [45, 245], "create_there": [0, 440]}


@pytest.mark.parametrize(
    ("counts", "over", "expected"),
    [
        ({"created": 110}, False, None),
        ({"created": 111}, False, Broken("created", 90, 110, 111)),
        ({"created": 0}, False, None),
        ({"created": 89}, True, Broken("created", 90, 110, 89)),
        ({"created": 90, "conflicts": 0}, True, None),
        ({"created": 100, "conflicts": 71}, False, Broken("conflicts", 30, 70, 71)),
        ({"updated": 10_000}, True, None),
    ],
)
def test_more_than_promised_shows_at_once_and_too_little_at_the_end(
    counts: dict[str, int], over: bool, expected: Broken | None
) -> None:
    assert broken({"created": [90, 110], "conflicts": [30, 70]}, counts, over=over) == expected


def test_a_run_that_ends_early_leaves_the_rest_to_the_next_but_its_conflicts_are_met_again() -> None:
    promise = {"created": [90, 110], "linked": [0, 20], "conflicts": [0, 20]}
    left = left_of(promise, {"created": 100, "linked": 5, "conflicts": 3})
    assert left == {"created": [0, 10], "linked": [0, 15], "conflicts": [0, 20]}
