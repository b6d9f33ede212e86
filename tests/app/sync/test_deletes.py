"""When deletes are applied and when a person is asked (D12, D13)."""

import pytest

from app.sync.deletes import Verdict, edited, judge, shows_all

APPLY, ASK, KEEP = Verdict(True, False), Verdict(False, True), Verdict(False, False)


@pytest.mark.parametrize(
    ("candidates", "live", "confirmed", "expected"),
    [
        (0, 100, False, KEEP), (20, 20, False, APPLY), (21, 100, False, ASK), (21, 105, False, APPLY),
        (510, 1000, False, ASK), (510, 1000, True, APPLY), (5, 1000, False, APPLY), (1000, 1000, True, APPLY),
    ],
)  # fmt: skip
def test_the_guard(candidates: int, live: int, confirmed: bool, expected: Verdict) -> None:
    assert judge(candidates, live, confirmed=confirmed) == expected


@pytest.mark.parametrize(
    ("read", "total", "expected"),
    [(0, None, False), (0, 0, False), (5, None, True), (5, 5, True), (5, 6, False), (6, 5, True)],
)
def test_what_proves_that_a_record_is_gone(read: int, total: int | None, expected: bool) -> None:
    assert shows_all(read, total) is expected


def test_a_form_that_only_the_other_side_keeps_is_no_edit() -> None:
    assert edited({"a": "a", "=a": " A ", "b": 1}, {"a": " A ", "b": 2}) == {"b": 2}
