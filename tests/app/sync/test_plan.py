"""What is decided for the records of a page."""

import uuid

from app.sync.plan import Held, Incoming, Linked, difference, digest, plan_page

A, B, C = (uuid.UUID(int=n) for n in (1, 2, 3))
FRESH = [uuid.UUID(int=n) for n in range(100, 110)]


def incoming(external_id: str, key: str | None = None, **values: object) -> Incoming:
    return Incoming(external_id, values, digest(values), None, key)


def linked(record_id: uuid.UUID, *, deleted: bool = False) -> Linked:
    return Linked(uuid.UUID(int=9), record_id, b"old", 1, deleted)


def test_an_unknown_record_without_a_match_is_created() -> None:
    plan = plan_page([incoming("x", "a@b.c", email="a@b.c")], {}, {}, {}, FRESH)
    assert [(w.operation, w.record_id, w.after) for w in plan.writes] == [("created", FRESH[0], {"email": "a@b.c"})]


def test_one_hit_on_the_match_key_links_and_keeps_what_only_we_have() -> None:
    held = {A: Held({"email": "a@b.c", "phone": "1"}, False)}
    plan = plan_page([incoming("x", "a@b.c", email="a@b.c", city="Rome")], {}, held, {"a@b.c": (A,)}, FRESH)
    write = plan.writes[0]
    assert (write.operation, write.record_id) == ("linked", A)
    assert write.data == {"email": "a@b.c", "phone": "1", "city": "Rome"}
    assert (write.before, write.after) == ({"city": None}, {"city": "Rome"})


def test_more_than_one_hit_is_a_conflict_and_writes_nothing() -> None:
    plan = plan_page([incoming("x", "a@b.c", email="a@b.c")], {}, {}, {"a@b.c": (A, B)}, FRESH)
    assert plan.writes == []
    assert plan.conflicts[0][1] == (A, B)


def test_two_records_of_one_page_with_one_key_become_one_record() -> None:
    page = [incoming("x", "a@b.c", email="a@b.c", city="Rome"), incoming("y", "a@b.c", email="a@b.c", city="Oslo")]
    plan = plan_page(page, {}, {}, {}, FRESH)
    assert {write.record_id for write in plan.writes} == {FRESH[0]}
    assert plan.writes[1].data["city"] == "Oslo"


def test_a_linked_record_is_updated_in_changed_fields_only() -> None:
    held = {A: Held({"email": "a@b.c", "city": "Rome"}, False)}
    plan = plan_page([incoming("x", email="a@b.c", city="Oslo")], {"x": linked(A)}, held, {}, FRESH)
    assert (plan.writes[0].operation, plan.writes[0].after) == ("updated", {"city": "Oslo"})


def test_equal_values_renew_the_link_alone() -> None:
    held = {A: Held({"email": "a@b.c"}, False)}
    plan = plan_page([incoming("x", email="a@b.c")], {"x": linked(A)}, held, {}, FRESH)
    assert plan.writes[0].operation == "same"


def test_a_record_that_comes_back_is_restored() -> None:
    held = {A: Held({"email": "a@b.c"}, True)}
    plan = plan_page([incoming("x", email="a@b.c")], {"x": linked(A, deleted=True)}, held, {}, FRESH)
    assert plan.writes[0].operation == "restored"


def test_a_missing_field_and_none_are_the_same() -> None:
    assert difference({}, {"city": None}) == ({}, {})


def test_digest_does_not_depend_on_key_order() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
