"""When deletes are applied and when a person is asked (D12, D13)."""

import pytest

from app.sync.deletes import Verdict, edited, judge

APPLY, ASK, KEEP = Verdict(True, False), Verdict(False, True), Verdict(False, False)


@pytest.mark.parametrize(
    ("candidates", "live", "seen", "confirmed", "expected"),
    [
        (0, 100, 100, False, KEEP),
        (20, 20, 5, False, APPLY),
        (21, 100, 79, False, ASK),
        (21, 105, 84, False, APPLY),
        (510, 1000, 490, False, ASK),
        (510, 1000, 490, True, APPLY),
        (10, 10, 0, False, KEEP),
        (1000, 1000, 0, False, ASK),
        (1000, 1000, 0, True, KEEP),
        (5, 1000, None, False, APPLY),
        (300, 1000, None, False, ASK),
    ],
)
def test_the_guard(candidates: int, live: int, seen: int | None, confirmed: bool, expected: Verdict) -> None:
    assert judge(candidates, live, seen=seen, confirmed=confirmed) == expected


def test_a_form_that_only_the_other_side_keeps_is_no_edit() -> None:
    assert edited({"a": "a", "=a": " A ", "b": 1}, {"a": " A ", "b": 2}) == {"b": 2}
