"""What a dry run remembers makes later pages meet what earlier ones would have written."""

import uuid
from typing import Any

import pytest

from app.sync.dry_run import Budget, Memory
from app.sync.keys import keys_in
from app.sync.merge import Directions
from app.sync.plan import Held, Incoming, Known, Plan, plan_page

DIRECTIONS = Directions(frozenset({"email", "city"}), policy="ask")
NAMES = ("email",)


def incoming(external_id: str, **values: Any) -> Incoming:
    return Incoming(external_id, values, external_id.encode(), None, keys_in(values, NAMES))


def look(memory: Memory, *items: Incoming, rows: dict[uuid.UUID, dict[str, Any]] | None = None) -> Plan:
    """Plan a page as a dry run does; `rows` are the records in the database."""
    rows = rows or {}
    keys = [key for item in items for key in item.keys]
    found = {key: tuple(i for i, data in rows.items() if key in keys_in(data, NAMES)) for key in keys}
    matches = memory.matches({key: hits for key, hits in found.items() if hits}, keys)
    wanted = {hits[0] for hits in matches.values()}
    held = memory.held({i: Held(rows[i], False) for i in wanted if i in rows}, wanted)
    plan = plan_page(items, Known({}, held, matches), DIRECTIONS, [uuid.uuid4() for _ in items])
    memory.note(plan)
    return plan


def opened(*, again: Memory | None = None) -> Memory:
    memory = again or Memory()
    memory.open("contact", NAMES)
    return memory


def test_a_later_page_joins_what_an_earlier_one_would_have_made() -> None:
    memory = opened()
    made = look(memory, incoming("a", email="ada@x", city="Oslo")).writes[0]
    # A worker that was killed goes on with what was kept.
    memory = opened(again=Memory.from_json(memory.to_json()))
    joined = look(memory, incoming("b", email="ada@x", city="Bonn")).writes[0]
    assert (joined.operation, joined.record_id) == ("linked", made.record_id)
    assert [clash.field for clash in joined.open] == ["city"]
    assert memory.new == {made.record_id}


def test_a_record_whose_key_would_have_changed_is_found_by_the_new_one_only() -> None:
    held = uuid.uuid4()
    memory, rows = opened(), {held: {"email": "old@x"}}
    look(memory, incoming("a", email="old@x", city="Oslo"), rows=rows)
    memory.touched[held]["email"]  # it is remembered with its values
    memory.records["contact"][held] = {"email": "new@x"}
    memory = opened(again=Memory.from_json(memory.to_json()))
    assert look(memory, incoming("b", email="old@x"), rows=rows).writes[0].operation == "created"
    assert look(memory, incoming("c", email="new@x"), rows=rows).writes[0].record_id == held


def test_a_record_that_is_shown_twice_is_counted_once() -> None:
    memory = opened()
    look(memory, incoming("a", email="ada@x"))
    assert not memory.is_news("a", None, b"other", 1)
    assert memory.is_news("b", None, b"", 1)


def test_a_stream_is_forgotten_but_not_what_the_next_one_of_its_type_would_meet() -> None:
    memory = opened()
    look(memory, incoming("a", email="ada@x"))
    memory.close(later={"contact"})
    assert not memory.links
    assert look(opened(again=memory), incoming("z", email="ada@x")).writes[0].operation == "linked"
    memory.close(later={"company"})
    assert not memory.records


@pytest.mark.parametrize(
    ("read", "seconds", "before", "left", "expected"),
    [
        (0, 500.0, 0.0, 1, None),
        (99, 10.0, 0.0, 1, None),
        (100, 10.0, 0.0, 1, "records"),
        (50, 30.0, 0.0, 2, "time"),
        (50, 29.0, 0.0, 2, None),
        # What the streams before have not used is there for those after them.
        (50, 50.0, 5.0, 1, None),
        (50, 55.0, 5.0, 1, "time"),
    ],
)
def test_the_budget(read: int, seconds: float, before: float, left: int, expected: str | None) -> None:
    assert Budget(100, 60.0).spent_by(read, seconds, before=before, streams_left=left) == expected
