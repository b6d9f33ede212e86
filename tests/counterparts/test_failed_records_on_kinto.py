"""Failed records of both ways against a real Kinto: retried by themselves, put right by their value, or by the mapping."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidError
from app.services import corrections, doubts, failed_records, mappings, previews
from app.services.failed_records import Cause
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import Kinto, contact
from tests.counterparts.test_two_way_on_kinto import Sides, sides  # noqa: F401  # a fixture

BAD = contact(1, email="not an address")


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    """A Kinto that refuses contacts whose city is longer than ten letters."""
    server = Kinto(tmp_path, settings={"kinto.experimental_collection_schema_validation": "true"}).start()
    schema = {"properties": {"city": {"type": ["string", "null"], "maxLength": 10}}}
    server._send("PATCH", "/v1/buckets/crm/collections/contacts", json={"data": {"schema": schema}})
    server.put_all("contacts", [contact(n) for n in range(10)])
    yield server
    server.stop()


def rows(sides: Sides) -> list[Any]:  # noqa: F811
    return sides.owner.execute(
        "SELECT direction, state, code, field, tries FROM failed_records ORDER BY created_at, external_id"
    ).fetchall()


def failed_id(sides: Sides) -> uuid.UUID:  # noqa: F811
    row = sides.owner.execute("SELECT id FROM failed_records WHERE state <> 'resolved'").fetchone()
    assert row is not None
    return row[0]


def act(sides: Sides, what: Any, *values: Any, **more: Any) -> Any:  # noqa: F811
    """Act as the web process does, then let the workers work."""
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        found = what(sides.tenant_id, *values, **more)
    settle(sides)
    return found


def settle(sides: Sides) -> None:  # noqa: F811
    for _ in range(5):
        if not sides.drain("fast") + sides.drain("sync"):
            return


def due(sides: Sides) -> None:  # noqa: F811
    """Let what is to be tried later be due."""
    sides.owner.execute("UPDATE failed_records SET retry_at = now() WHERE retry_at IS NOT NULL")
    sides.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'retry_records' AND state = 'ready'")
    settle(sides)


def problems_open(sides: Sides) -> int:  # noqa: F811
    return sides.count("SELECT count(*) FROM problems WHERE state = 'open'")


def test_a_value_given_for_a_bad_one_is_used_here_and_written_there(sides: Sides) -> None:  # noqa: F811
    """Red when what was agreed on held the given value: it would never flow out."""
    sides.kinto.put_all("contacts", [BAD])
    sides.start()
    assert rows(sides) == [("in", "waiting", "mapping_failed", "email", 1)]
    with pytest.raises(InvalidError) as refused:
        act(sides, corrections.give, failed_id(sides), {"email": "still not one"})
    assert set(refused.value.fields) == {"email"}
    assert problems_open(sides) == 1
    act(sides, corrections.give, failed_id(sides), {"email": "ada@example.test"})
    assert [row[1] for row in rows(sides)] == ["resolved"]
    assert sides.record("ada@example.test")[1]["city"] == "London"
    assert sides.kinto.get("contacts", "contact-1")["email"] == "ada@example.test"
    assert problems_open(sides) == 0
    before = sides.count("SELECT count(*) FROM changes")
    sides.sync(mode="full")
    assert sides.count("SELECT count(*) FROM changes") == before
    assert len(sides.kinto.all("contacts")) == 10


def test_a_given_value_stands_in_for_the_same_bad_value_and_for_no_other(sides: Sides) -> None:  # noqa: F811
    sides.kinto.put_all("contacts", [BAD])
    sides.start(direction="in", policy="theirs")
    act(sides, corrections.give, failed_id(sides), {"email": "ada@example.test"})
    sides.kinto.put_all("contacts", [{**BAD, "city": "Bonn"}])
    sides.sync()
    assert sides.record("ada@example.test")[1]["city"] == "Bonn"
    sides.kinto.put_all("contacts", [{**BAD, "email": "another bad one", "city": "Rome"}])
    sides.sync()
    assert rows(sides) == [("in", "waiting", "mapping_failed", "email", 1)]
    assert sides.record("ada@example.test")[1]["city"] == "Bonn"
    sides.kinto.put_all("contacts", [{**BAD, "email": "eve@example.test"}])
    sides.sync()
    assert sides.record("eve@example.test")[1]["city"] == "London"
    assert [row[1] for row in rows(sides)] == ["resolved"]


def test_a_failed_record_is_tried_again_by_itself_and_parked(sides: Sides) -> None:  # noqa: F811
    """Red when the end of a run planned no retry. A retry that fails closes no problem."""
    sides.kinto.put_all("contacts", [BAD])
    sides.start(direction="in")
    assert sides.count("SELECT count(*) FROM tasks WHERE kind = 'retry_records' AND state = 'ready'") == 1
    for tries in (2, 3, 4, 5):
        due(sides)
        assert rows(sides)[0][4] == tries
        assert problems_open(sides) == 1
    assert rows(sides) == [("in", "parked", "mapping_failed", "email", 5)]
    sides.kinto.put_all("contacts", [contact(1)])
    act(sides, failed_records.retry, sides.installation_id, cause=Cause("in", "contacts", "mapping_failed", "city"))
    assert rows(sides)[0][1] == "parked", "another cause"
    act(sides, failed_records.retry, sides.installation_id, cause=Cause("in", "contacts", "mapping_failed", "email"))
    assert rows(sides)[0][1] == "resolved"
    assert problems_open(sides) == 0


def test_what_the_other_side_refuses_is_sent_again_and_put_right_in_the_record(sides: Sides) -> None:  # noqa: F811
    sides.start()
    for number in (2, 3):
        sides.edit(f"person{number}@example.test", city="Llanfairpwllgwyngyll")
    settle(sides)
    assert [row[:3] for row in rows(sides)] == [("out", "waiting", "record_failed")] * 2
    assert problems_open(sides) == 1
    causes = act(sides, failed_records.list_causes, sides.installation_id)
    assert [(item.cause.direction, item.count) for item in causes] == [("out", 2)]
    due(sides)
    assert [row[4] for row in rows(sides)] == [2, 2], "each was sent again once, and refused again"
    assert problems_open(sides) == 1
    act(sides, failed_records.retry, sides.installation_id, cause=causes[0].cause)
    assert {row[1] for row in rows(sides)} == {"waiting"}
    first = failed_id(sides)
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id):
        failed = failed_records.get_failed_record(sides.tenant_id, first)
        assert [item.field.name for item in corrections.list_corrections(failed)] == ["city"]
    act(sides, corrections.give, first, {"city": "Oslo", "phone": "not asked for"})
    assert {sides.kinto.get("contacts", f"contact-{n}")["city"] for n in (2, 3)} == {"Oslo", "London"}
    assert sorted(row[1] for row in rows(sides)) == ["resolved", "waiting"]
    sides.kinto._send("PATCH", "/v1/buckets/crm/collections/contacts", json={"data": {"schema": {}}})
    act(sides, failed_records.retry, sides.installation_id)
    assert {row[1] for row in rows(sides)} == {"resolved"}
    assert problems_open(sides) == 0


def test_a_refused_change_that_is_taken_back_here_is_over(sides: Sides) -> None:  # noqa: F811
    """Red when a write that needs nothing left its failed record open: it would be tried for ever."""
    sides.start()
    sides.edit("person2@example.test", city="Llanfairpwllgwyngyll")
    settle(sides)
    sides.edit("person2@example.test", city="London")
    settle(sides)
    assert [row[1] for row in rows(sides)] == ["resolved"]
    assert problems_open(sides) == 0


def test_retries_do_not_turn_in_circles_while_nothing_can_be_sent(sides: Sides) -> None:  # noqa: F811
    """A blocked installation sends nothing. Red when a due record woke the worker again at once."""
    sides.start()
    sides.edit("person2@example.test", city="Llanfairpwllgwyngyll")
    settle(sides)
    sides.owner.execute("UPDATE installations SET blocked_code = 'reconnect'")
    due(sides)
    assert sides.drain("sync") == 0
    sides.owner.execute("UPDATE installations SET blocked_code = NULL")
    due(sides)
    sides.sync()
    due(sides)
    assert rows(sides)[0][4] >= 2


def test_a_new_mapping_has_the_failed_records_of_its_stream_tried_again(sides: Sides) -> None:  # noqa: F811
    sides.kinto.put_all("contacts", [BAD])
    sides.start(direction="in")
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        rules = mappings.current_rules(sides.tenant_id, sides.installation_id, "contacts")
        eased = [replace(rule, on_error="skip_field") if rule.target == "email" else rule for rule in rules]
        mappings.put_in_force(sides.tenant_id, sides.installation_id, "contacts", rules=eased, user_id=None)
    settle(sides)
    assert [row[1] for row in rows(sides)] == ["resolved"]
    assert sides.count("SELECT count(*) FROM records") == 10


def test_the_payload_is_opened_by_a_worker_and_shows_nothing_sensitive(sides: Sides) -> None:  # noqa: F811
    sides.kinto.put_all("contacts", [BAD])
    sides.start(direction="in")
    wanted = failed_id(sides)
    asked = act(
        sides, previews.ask, sides.installation_id, "payload", stream="contacts", request={"failed_id": str(wanted)}
    )
    row = sides.owner.execute("SELECT state, result FROM previews WHERE id = %s", (asked.id,)).fetchone()
    assert row is not None
    assert row[0] == "ready"
    shown = {item["path"]: item for item in row[1]["rows"]}
    assert row[1]["rows"][0]["path"] == "email"
    assert (shown["email"]["value"], shown["email"]["failing"]) == ("not an address", True)
    assert (shown["birthday"]["value"], shown["birthday"]["hidden"]) == (None, True)
    assert "1990-05-17" not in str(row[1])
    assert not shown["city"]["failing"]


def test_a_sensitive_value_that_does_not_fit_is_quoted_nowhere(sides: Sides) -> None:  # noqa: F811
    """Neither in the table, nor in the problem that is made of it; and a correction still stands in for it."""
    sides.kinto.put_all("contacts", [{**BAD, "email": "good@example.test", "birthday": "31/02/1990"}])
    sides.start(direction="in")
    said = "SELECT message FROM failed_records UNION ALL SELECT message FROM problems"
    texts = [row[0] for row in sides.owner.execute(said)]
    assert len(texts) == 2
    assert all("the value (hidden, as it is sensitive)" in text and "1990" not in text for text in texts)
    act(sides, corrections.give, failed_id(sides), {"birthday": "1990-02-28"})
    settle(sides)
    assert [row[1] for row in rows(sides)] == ["resolved"]


def doubt(sides: Sides) -> tuple[uuid.UUID, uuid.UUID]:  # noqa: F811
    """A contact that only we have, whose creation was sent and never answered; return (failed record, record)."""
    from app.services import record_edits

    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        values = {"email": "new@example.test", "city": "Oslo"}
        made = record_edits.create(sides.tenant_id, "contact", values, writer="Host").id
    sides.owner.execute(
        "UPDATE intents SET state = 'parked', operation = 'create', error_code = 'in_doubt', sent_at = now(), "
        "settled_at = now() WHERE record_id = %s", (made,)
    )  # fmt: skip
    sides.owner.execute(
        "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, state, "
        "code, message) VALUES (%s, gen_random_uuid(), %s, 'contacts', %s, 'out', %s, 'parked', 'in_doubt', 'No answer.')",
        (sides.tenant_id, sides.installation_id, f"record:{made}", made),
    )
    settle(sides)
    return failed_id(sides), made


def test_a_record_in_doubt_is_linked_where_a_person_says_it_is(sides: Sides) -> None:  # noqa: F811
    sides.start()
    failed, made = doubt(sides)
    act(sides, failed_records.retry, sides.installation_id)
    assert rows(sides)[0][1] == "parked", "it is never sent again by a retry of all"
    act(sides, doubts.look_there, failed, "nowhere")
    assert rows(sides)[0][1] == "parked"
    row = sides.owner.execute("SELECT message FROM failed_records").fetchone()
    assert row is not None
    assert "Kinto has no record with the id “nowhere”" in row[0]
    there = {"id": "made", "email": "new@example.test", "city": "Oslo", "phone": "1"}
    sides.kinto.put_all("contacts", [there])
    act(sides, doubts.look_there, failed, " made ")
    assert rows(sides)[0][1] == "resolved"
    link = sides.owner.execute("SELECT record_id, base->>'city' FROM links WHERE external_id = 'made'").fetchone()
    assert link == (made, "Oslo")
    assert sides.record("new@example.test")[1]["phone"] == "1"
    sides.sync(mode="full")
    assert len(sides.kinto.all("contacts")) == 11
    assert sides.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 11
    assert problems_open(sides) == 0


def test_a_record_in_doubt_that_a_page_finds_is_in_doubt_no_longer(sides: Sides) -> None:  # noqa: F811
    sides.start()
    doubt(sides)
    sides.kinto.put_all("contacts", [{"id": "made", "email": "new@example.test", "city": "Oslo"}])
    sides.sync()
    assert rows(sides)[0][1] == "resolved"
    assert problems_open(sides) == 0


def test_a_record_in_doubt_is_sent_again_when_a_person_says_so(sides: Sides) -> None:  # noqa: F811
    sides.start()
    failed, _ = doubt(sides)
    act(sides, doubts.send_again, failed)
    assert rows(sides)[0][1] == "resolved"
    assert len(sides.kinto.all("contacts")) == 11
