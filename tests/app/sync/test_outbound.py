"""What is sent for a record, what its answer means, and what becomes of a create without an answer (D10, D11, D16, D18)."""

from typing import Any

import pytest

from app.sync.merge import OURS, Directions, merge, unsent
from app.sync.outbound import Abilities, Tie, Todo, decide, resolve_doubt, settle
from app.sync.plan import Held

ALL = Abilities(frozenset({"create", "update", "delete"}), frozenset({"a", "b"}))


def todo(data: dict[str, Any], *ties: Tie, abilities: Abilities = ALL, deleted: bool = False, **more: Any) -> Todo:
    return decide(Held(data, deleted), ties, abilities, **more)


def test_what_differs_from_what_was_agreed_on_is_sent() -> None:
    found = todo({"a": 2, "b": 1}, Tie("x", {"a": 1, "b": 1}))
    assert (found.operation, found.fields, found.more) == ("update", ("a",), False)


def test_a_field_with_an_open_conflict_waits_and_the_others_do_not() -> None:
    tie = Tie("x", {"a": 1, "b": 1}, waiting={"a": 3})
    assert todo({"a": 2, "b": 2}, tie).fields == ("b",)
    assert todo({"a": 2, "b": 1}, tie).operation == "drop"


def test_one_record_with_two_external_ones_is_written_to_both() -> None:
    found = todo({"a": 2}, Tie("x", {"a": 1}), Tie("y", {"a": 1}))
    assert (found.tie and found.tie.external_id, found.more) == ("x", True)
    assert todo({"a": 2}, Tie("x", {"a": 2}), Tie("y", {"a": 1})).tie == Tie("y", {"a": 1})


def test_a_create_waits_for_the_first_full_pass_and_is_planned_again_by_it() -> None:
    early = Abilities(ALL.operations, ALL.outgoing, ready=False)
    assert todo({"a": 1}, abilities=early).later
    assert todo({"a": 1}).operation == "create"


def test_what_was_deleted_there_is_made_again_only_when_a_person_wants_it() -> None:
    gone = Tie("x", {"a": 1}, deleted=True)
    assert todo({"a": 1}, gone).operation == "drop"
    assert todo({"a": 1}, gone, again=True).operation == "create"


def test_what_may_be_there_already_is_made_again_only_when_a_person_wants_it() -> None:
    assert todo({"a": 1}, unsure=True).operation == "drop"
    assert todo({"a": 1}, unsure=True, again=True).operation == "create"


@pytest.mark.parametrize(("answered", "expected"), [(3, "update"), (4, "park")])
def test_at_most_five_writes_an_hour_then_the_record_rests(answered: int, expected: str) -> None:
    """The first write is nobody's answer; four were caused by a change over there."""
    found = todo({"a": 2}, Tie("x", {"a": 1}), writes_last_hour={"x": answered, "y": 9})
    assert found.operation == expected


def test_the_other_sides_form_of_a_value_is_taken_over_where_it_may_flow_in() -> None:
    settled = settle({"a": " A "}, {"a": "a"}, {"a": " A "}, {"a"}, {})
    assert (settled.base, settled.values, settled.near) == ({"a": "a"}, {"a": "a"}, ("a",))
    assert settle({"a": " A "}, {"a": "a"}, {"a": "newer"}, {"a"}, {}).values == {}


def test_where_it_may_not_flow_in_both_forms_are_agreed_on_and_nothing_is_written_again() -> None:
    """Otherwise each reading would differ from the record, and each would be followed by a write."""
    out = Directions(frozenset(), frozenset({"a"}))
    settled = settle({"a": " A "}, {"a": "a"}, {"a": " A "}, frozenset(), {})
    assert settled.base == {"a": "a", OURS + "a": " A "}
    assert unsent({"a": " A "}, settled.base, {"a"}) == []
    assert unsent({"a": "B"}, settled.base, {"a"}) == ["a"]
    read = merge(settled.base, {"a": " A "}, {"a": "a"}, out)
    assert (read.base, read.clashes) == (settled.base, ())
    changed = merge(settled.base, {"a": " A "}, {"a": "z"}, out)
    assert (changed.base, unsent(changed.values, changed.base, {"a"})) == ({"a": "z"}, ["a"])


def test_the_form_of_an_older_write_is_no_longer_agreed_on() -> None:
    agreed = {"a": "a", OURS + "a": " A "}
    settled = settle({"a": "b"}, {"a": "b"}, {"a": "b"}, frozenset(), agreed)
    assert unsent({"a": " A "}, {**agreed, **settled.base}, {"a"}) == ["a"]


def test_a_field_that_begins_to_flow_in_takes_the_form_of_the_other_side() -> None:
    both = Directions(frozenset({"a"}), frozenset({"a"}))
    assert merge({"a": "a", OURS + "a": " A "}, {"a": " A "}, {"a": "a"}, both).values == {"a": "a"}


def test_an_answer_that_leaves_a_field_out_is_no_word_about_it() -> None:
    assert settle({"a": 1}, {}, {"a": 1}, {"a"}, {}).base == {"a": 1}
    assert settle({"a": 1}, None, {"a": 1}, {"a"}, {}).base == {"a": 1}


@pytest.mark.parametrize(
    ("kind", "hours", "can_look_up", "expected"),
    [
        ("idempotency_key", 23.9, False, "same_key"), ("idempotency_key", 25, True, "look_up"),
        ("idempotency_key", 25, False, "review"), ("lookup", 1, True, "look_up"), ("review", 0, False, "review"),
        (None, 0, False, "review"),
    ],
)  # fmt: skip
def test_a_create_without_an_answer(kind: str | None, hours: float, can_look_up: bool, expected: str) -> None:
    assert resolve_doubt(kind, age_hours=hours, window_hours=24, can_look_up=can_look_up) == expected
