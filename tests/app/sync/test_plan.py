"""What is decided for the records of a page."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.sync.echoes import Echo, hash_of
from app.sync.hashes import digest
from app.sync.merge import Directions
from app.sync.plan import Held, Incoming, Known, Linked, Plan, difference, plan_page

A, B, C = (uuid.UUID(int=n) for n in (1, 2, 3))
FRESH = [uuid.UUID(int=n) for n in range(100, 110)]


def incoming(external_id: str, key: str | None = None, **values: object) -> Incoming:
    return Incoming(external_id, values, digest(values), None, (("email", key),) if key else ())


def linked(record_id: uuid.UUID, *, deleted: bool = False, **more: Any) -> Linked:
    return Linked(uuid.UUID(int=9), record_id, b"old", 1, deleted, **more)


def planned(
    page: list[Incoming], *, policy: Any = "theirs", out: bool = False, began: datetime | None = None, **known: Any
) -> Plan:
    fields = frozenset({"email", "city", "phone"})
    directions = Directions(fields, fields if out else frozenset(), policy)
    return plan_page(page, Known(**known), directions, FRESH, began=began)


def test_an_unknown_record_without_a_match_is_created() -> None:
    plan = planned([incoming("x", "a@b.c", email="a@b.c")])
    assert [(w.operation, w.record_id, w.after) for w in plan.writes] == [("created", FRESH[0], {"email": "a@b.c"})]


def test_a_new_record_and_what_is_agreed_about_it_are_one_object() -> None:
    """page_creates.split knows by that what one statement can write: a first load is nothing else."""
    (write,) = planned([incoming("x", "a@b.c", email="a@b.c")]).writes
    assert write.data is write.base


def test_what_only_flows_out_and_what_a_person_gave_is_not_agreed_on() -> None:
    item = replace(incoming("x", "a@b.c", email="a@b.c", notes="theirs"), given={"city": "Rome"})
    (write,) = planned([item]).writes
    assert (write.data, write.base) == ({"email": "a@b.c", "city": "Rome"}, {"email": "a@b.c"})


def test_one_hit_on_the_match_key_links_and_keeps_what_only_we_have() -> None:
    held = {A: Held({"email": "a@b.c", "phone": "1"}, False)}
    plan = planned([incoming("x", "a@b.c", email="a@b.c", city="Rome")], held=held, matches={("email", "a@b.c"): (A,)})
    write = plan.writes[0]
    assert (write.operation, write.record_id) == ("linked", A)
    assert write.data == {"email": "a@b.c", "phone": "1", "city": "Rome"}
    assert (write.before, write.after) == ({"city": None}, {"city": "Rome"})


def test_the_second_key_counts_where_the_first_finds_nothing() -> None:
    item = Incoming("x", {"city": "Rome"}, b"", None, (("email", "a@b.c"), ("phone", "1")))
    held = {A: Held({}, False), B: Held({}, False)}
    assert planned([item], held=held, matches={("phone", "1"): (B,)}).writes[0].record_id == B
    both = {("phone", "1"): (B,), ("email", "a@b.c"): (A,)}
    assert planned([item], held=held, matches=both).writes[0].record_id == A


def test_more_than_one_hit_is_a_conflict_and_writes_nothing() -> None:
    plan = planned([incoming("x", "a@b.c", email="a@b.c")], matches={("email", "a@b.c"): (A, B)})
    assert plan.writes == []
    assert plan.conflicts[0][1] == (A, B)


def test_two_records_of_one_page_with_one_key_become_one_record() -> None:
    page = [incoming("x", "a@b.c", email="a@b.c", city="Rome"), incoming("y", "a@b.c", email="a@b.c", city="Oslo")]
    plan = planned(page)
    assert {write.record_id for write in plan.writes} == {FRESH[0]}
    assert plan.writes[1].data["city"] == "Oslo"


def test_a_linked_record_is_updated_in_changed_fields_only() -> None:
    held = {A: Held({"email": "a@b.c", "city": "Rome"}, False)}
    plan = planned([incoming("x", email="a@b.c", city="Oslo")], links={"x": linked(A)}, held=held)
    assert (plan.writes[0].operation, plan.writes[0].after) == ("updated", {"city": "Oslo"})


def test_what_only_we_have_changed_stays_and_is_sent() -> None:
    held = {A: Held({"email": "a@b.c", "city": "Oslo"}, False)}
    link = linked(A, base={"email": "a@b.c", "city": "Rome"})
    write = planned([incoming("x", email="x@y.z", city="Rome")], links={"x": link}, held=held, out=True).writes[0]
    assert (write.data, write.sends) == ({"email": "x@y.z", "city": "Oslo"}, True)


def test_a_clash_that_a_person_must_settle_is_not_sent() -> None:
    held = {A: Held({"city": "Oslo"}, False)}
    link = linked(A, base={"city": "Rome"})
    page = [incoming("x", city="Bonn")]
    write = planned(page, policy="ask", out=True, links={"x": link}, held=held).writes[0]
    assert (write.data, write.sends) == ({"city": "Oslo"}, False)
    assert [(c.base, c.ours, c.theirs) for c in write.open] == [("Rome", "Oslo", "Bonn")]


def test_what_only_flows_out_is_not_agreed_on_by_a_record_that_is_new_here() -> None:
    directions = Directions(frozenset({"city"}), frozenset({"city", "phone"}))
    write = plan_page([incoming("x", city="Rome", phone="1")], Known(), directions, FRESH).writes[0]
    assert (write.data, write.base) == ({"city": "Rome"}, {"city": "Rome"})


def test_a_record_that_comes_back_keeps_what_only_flows_out() -> None:
    directions = Directions(frozenset({"city"}), frozenset({"city", "phone"}))
    held, link = {A: Held({"city": "Rome"}, True)}, linked(A, base={"city": "Rome"})
    write = plan_page(
        [incoming("x", city="Bonn", phone="1")], Known(links={"x": link}, held=held), directions, FRESH
    ).writes[0]
    assert (write.operation, write.base, write.sends) == ("restored", {"city": "Bonn"}, False)


def test_an_edit_there_brings_back_what_was_deleted_here_and_says_so() -> None:
    held, link = {A: Held({"city": "Rome"}, True)}, linked(A, base={"city": "Rome"})
    write = planned([incoming("x", city="Bonn")], links={"x": link}, held=held).writes[0]
    assert (write.operation, write.revived, write.data) == ("restored", True, {"city": "Bonn"})


def test_what_was_deleted_here_stays_deleted_while_nobody_edits_it_there() -> None:
    held, link = {A: Held({"city": "Rome"}, True)}, linked(A, base={"city": "Rome"})
    assert planned([incoming("x", city="Rome")], links={"x": link}, held=held).writes[0].operation == "same"


NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_what_was_read_before_our_write_was_answered_is_read_again() -> None:
    link = linked(A, base={"city": "Oslo"}, written_at=NOON, external_version="7")
    old, own = incoming("x", city="Rome"), Incoming("x", {"city": "Oslo"}, b"", "7")
    held = {A: Held({"city": "Oslo"}, False)}
    late = planned([old], links={"x": link}, held=held, began=NOON - timedelta(seconds=1))
    assert (late.writes, late.stale) == ([], ["x"])
    assert planned([old], links={"x": link}, held=held, began=NOON + timedelta(seconds=1)).stale == []
    assert planned([own], links={"x": link}, held=held, began=NOON - timedelta(seconds=1)).stale == []


def echo(sent: dict[str, Any], answer: dict[str, Any] | None = None) -> Echo:
    return Echo(C, tuple(sent), hash_of(sent, sent), hash_of(answer, sent) if answer else None)


def test_our_own_write_that_comes_back_is_consumed_and_no_conflict() -> None:
    held, link = {A: Held({"city": "Oslo"}, False)}, linked(A, base={"city": "Rome"})
    echoes = {"x": (echo({"city": "Bonn"}),)}
    plan = planned([incoming("x", city="Bonn")], policy="ask", out=True, links={"x": link}, held=held, echoes=echoes)
    assert (plan.writes[0].open, plan.writes[0].data, plan.writes[0].sends) == ((), {"city": "Oslo"}, True)
    assert (plan.consumed, plan.near) == ([C], [])


def test_something_like_our_own_write_is_counted_and_is_a_change() -> None:
    held, link = {A: Held({"city": "Rome"}, False)}, linked(A, base={"city": "Rome"})
    echoes = {"x": (echo({"city": "Bonn"}),)}
    plan = planned([incoming("x", city="BONN")], links={"x": link}, held=held, echoes=echoes)
    assert (plan.writes[0].after, plan.consumed, plan.near) == ({"city": "BONN"}, [], [C])


def test_an_unknown_record_stays_there_where_nothing_flows_in() -> None:
    plan = plan_page(
        [incoming("x", city="Rome")], Known(), Directions(frozenset(), frozenset({"city"}), creates=False), FRESH
    )
    assert (plan.writes, plan.left) == ([], 1)


def test_equal_values_renew_the_link_alone() -> None:
    held = {A: Held({"email": "a@b.c"}, False)}
    plan = planned([incoming("x", email="a@b.c")], links={"x": linked(A)}, held=held)
    assert plan.writes[0].operation == "same"


def test_a_record_that_comes_back_is_restored() -> None:
    held = {A: Held({"email": "a@b.c"}, True)}
    plan = planned([incoming("x", email="a@b.c")], links={"x": linked(A, deleted=True)}, held=held)
    assert plan.writes[0].operation == "restored"


def test_a_missing_field_and_none_are_the_same() -> None:
    assert difference({}, {"city": None}) == ({}, {})


def test_digest_does_not_depend_on_key_order() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_a_value_that_a_person_gave_is_taken_and_not_agreed() -> None:
    """It flows out where the field does, and a later value over there meets it by the policy. Red when base held it."""
    directions = Directions(frozenset({"email", "city"}), frozenset({"email"}))
    item = Incoming("1", {"city": "Oslo"}, b"h", None, given={"email": "ada@example.test"})
    made = plan_page([item], Known(), directions, FRESH).writes[0]
    assert made.data == {"city": "Oslo", "email": "ada@example.test"}
    assert made.base == {"city": "Oslo"}
    assert made.sends
    link = Linked(uuid.uuid4(), A, b"", 1, False, {"city": "Rome", "email": "old@example.test"})
    held = {A: Held({"city": "Rome", "email": "old@example.test"}, False)}
    joined = plan_page([item], Known({"1": link}, held), directions, []).writes[0]
    assert (joined.operation, joined.after) == ("updated", {"city": "Oslo", "email": "ada@example.test"})
    assert joined.base == {"city": "Oslo"}
    assert joined.sends
    only_in = plan_page([item], Known({"1": link}, held), Directions(frozenset({"email", "city"})), []).writes[0]
    assert not only_in.sends
