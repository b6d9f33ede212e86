"""Undo of one record: what is written, and when it is left alone."""

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sync.plan import Held
from app.sync.undo import Done, Later, Left, Step, Story, take_back

ID, RUN = uuid.uuid4(), uuid.uuid4()


def decide(*done: Done, data: dict[str, Any], deleted: bool = False, **more: Any) -> Any:
    return take_back(Story(ID, done, Held(data, deleted), **more))


def test_each_operation_has_its_inverse() -> None:
    made = Done("created", {}, {"city": "Bonn"})
    assert decide(made, data={"city": "Bonn"}) == Step(ID, "delete")
    for operation in ("updated", "linked", "restored"):
        done = Done(operation, {"city": "Oslo"}, {"city": "Bonn"})
        assert decide(done, data={"city": "Bonn", "phone": "1"}) == Step(ID, "put_back", {"city": "Oslo"})
    gone = Done("deleted", {"city": "Bonn"})
    assert decide(gone, data={"city": "Bonn"}, deleted=True) == Step(ID, "bring_back", {})


def test_a_record_that_was_deleted_before_is_deleted_again() -> None:
    back = Done("restored", {"city": "Oslo"}, {"city": "Bonn"})
    assert decide(back, data={"city": "Bonn"}, was_deleted=True) == Step(ID, "delete")


def test_several_changes_of_one_run_are_taken_back_together() -> None:
    first = Done("updated", {"city": "Oslo", "phone": "1"}, {"city": "Bonn", "phone": "2"})
    second = Done("updated", {"city": "Bonn"}, {"city": "Rome"})
    assert decide(first, second, data={"city": "Rome", "phone": "2"}).values == {"city": "Oslo", "phone": "1"}
    gone = Done("deleted", {"city": "Rome", "phone": "2"})
    assert decide(first, second, gone, data={"city": "Rome", "phone": "2"}, deleted=True) == Step(
        ID, "bring_back", {"city": "Oslo", "phone": "1"}
    )
    made = Done("created", {}, {"city": "Bonn"})
    assert decide(made, Done("deleted", {"city": "Bonn"}), data={"city": "Bonn"}, deleted=True) == Left(ID, "same")
    assert decide(gone, Done("restored", {"city": "Rome"}, {"city": "Bonn"}), data={"city": "Bonn"}) == Step(
        ID, "put_back", {"city": "Rome"}
    )


@pytest.mark.parametrize(
    ("data", "deleted", "later"),
    [
        ({"city": "Rome"}, False, ()),
        ({"city": "Bonn"}, True, ()),
        ({"city": "Bonn"}, False, (Later(),)),
        ({"city": "Bonn"}, False, (Later(RUN),)),
        ({"city": "Bonn"}, False, (Later(RUN), Later(uuid.uuid4(), undo=True))),
        ({"city": "Bonn"}, False, (Later(RUN), Later(RUN, undo=True), Later())),
    ],
)
def test_what_was_edited_since_is_left_alone(data: dict[str, Any], deleted: bool, later: tuple[Later, ...]) -> None:
    for operation in ("created", "updated"):
        done = Done(operation, {} if operation == "created" else {"city": "Oslo"}, {"city": "Bonn"})
        assert decide(done, data=data, deleted=deleted, later=later) == Left(ID, "edited")


def test_a_later_run_that_was_undone_does_not_count() -> None:
    done = Done("updated", {"city": "Oslo"}, {"city": "Bonn"})
    later = (Later(RUN), Later(RUN), Later(RUN, undo=True))
    assert decide(done, data={"city": "Bonn"}, later=later) == Step(ID, "put_back", {"city": "Oslo"})


def test_what_is_as_before_already_needs_nothing() -> None:
    assert decide(Done("linked"), data={"city": "Bonn"}) == Left(ID, "same")
    there_and_back = (
        Done("updated", {"city": "Oslo"}, {"city": "Bonn"}),
        Done("updated", {"city": "Bonn"}, {"city": "Oslo"}),
    )
    assert decide(*there_and_back, data={"city": "Oslo"}) == Left(ID, "same")


values = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3) | st.none(), max_size=3)


@given(before=values, writes=st.lists(values, min_size=1, max_size=4))
def test_the_record_is_as_before_the_run(before: dict[str, Any], writes: list[dict[str, Any]]) -> None:
    """However often a run has written a record: afterwards each field is what it was; a missing field and None are one."""
    data, done = dict(before), []
    for write in writes:
        done.append(Done("updated", {name: data.get(name) for name in write}, write))
        data |= write
    step = decide(*done, data=data)
    undone = data | dict(step.values if isinstance(step, Step) else {})
    assert all(undone.get(name) == before.get(name) for name in "abc")
