"""Undo of a run against a real Kinto: what is put back, what stays, and what the other side sees of it."""

import uuid
from functools import partial
from typing import Any

import pytest

from app.db import db
from app.errors import ConflictError
from app.models.runs import Run
from app.services import record_edits, runs, undos
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import contact
from tests.counterparts.test_two_way_on_kinto import Sides, kinto, sides  # noqa: F401  # fixtures


def newest(sides: Sides) -> uuid.UUID:  # noqa: F811
    row = sides.owner.execute("SELECT id FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return row[0]


def look(sides: Sides, run_id: uuid.UUID) -> dict[str, int]:  # noqa: F811
    """Look at the undo of a run and return its counts."""
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        undos.look(sides.tenant_id, run_id)
    sides.settle()
    return state(sides, run_id)["counts"]


def state(sides: Sides, run_id: uuid.UUID) -> dict[str, Any]:  # noqa: F811
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id):
        found = db.session.get_one(Run, (sides.tenant_id, run_id)).undo
        db.session.rollback()
    assert found is not None
    return found


def undo(sides: Sides, run_id: uuid.UUID, *, twice: bool = False) -> dict[str, int]:  # noqa: F811
    """Look and undo; return the counts of what was done."""
    look(sides, run_id)
    for _ in range(2 if twice else 1):
        with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
            undos.begin(sides.tenant_id, run_id, uuid.uuid4())
    sides.settle()
    return state(sides, run_id)["counts"]


def snapshot(sides: Sides) -> list[Any]:  # noqa: F811
    return sides.owner.execute("SELECT id, data, deleted_at IS NULL FROM records ORDER BY id").fetchall()


def full(**counts: int) -> dict[str, int]:
    return {"put_back": 0, "delete": 0, "bring_back": 0, "edited": 0, "same": 0, **counts}


def test_everything_a_run_did_is_put_back_and_the_next_runs_bring_nothing_of_it(sides: Sides) -> None:  # noqa: F811
    """Red when an undo touched what was agreed on, or when the link of a deleted record ended."""
    sides.start(direction="in", policy="theirs")
    before = snapshot(sides)
    sides.kinto.put_all("contacts", [contact(n, city="Bonn", phone="") for n in range(5)])
    sides.kinto.put_all("contacts", [contact(n) for n in range(100, 103)])
    sides.kinto.delete("contacts", "contact-7")
    sides.sync()
    run_id = newest(sides)
    assert look(sides, run_id) == full(put_back=5, delete=3, bring_back=1)
    assert snapshot(sides) != before
    sides.sync()  # A run in between that finds nothing does not count as an edit.
    assert undo(sides, run_id, twice=True) == full(put_back=5, delete=3, bring_back=1)
    after = snapshot(sides)
    assert [row for row in after if row[2]] == before
    assert sides.count("SELECT count(*) FROM changes WHERE writer LIKE 'Undo of the run of %'") == 9
    sides.sync()
    sides.sync(mode="full")
    assert snapshot(sides) == after, "what is unchanged there is not brought back"
    sides.owner.execute("UPDATE links SET mapping_version = 0")
    sides.sync(mode="full")
    assert snapshot(sides) == after, "nor when everything is mapped anew"
    sides.kinto.put_all("contacts", [contact(1, city="Bonn", phone="", notes="New"), contact(2, city="Rome", phone="")])
    sides.kinto.put_all("contacts", [contact(101, city="Rome")])
    sides.sync()
    one, two = sides.record("person1@example.test")[1], sides.record("person2@example.test")[1]
    assert (one["city"], one["notes"]) == ("London", "New"), "another field that changes there leaves it alone"
    assert two["city"] == "Rome", "the field itself, changed there, comes over by the policy"
    assert sides.record("person101@example.test")[1]["city"] == "Rome"
    assert sides.owner.execute("SELECT kind FROM conflicts WHERE state = 'open'").fetchall() == [("deleted_here",)]


def test_former_values_flow_out_and_nothing_is_deleted_there(sides: Sides) -> None:  # noqa: F811
    """Red when a record that the undo deletes here is deleted over there as well."""
    sides.start()
    sides.kinto.put_all("contacts", [contact(n, city="Bonn") for n in range(4)])
    sides.kinto.put_all("contacts", [contact(n) for n in range(100, 130)])
    sides.sync()
    run_id = newest(sides)
    assert undo(sides, run_id) == full(put_back=4, delete=30)
    assert {sides.kinto.get("contacts", f"contact-{n}")["city"] for n in range(4)} == {"London"}
    assert len(sides.kinto.all("contacts")) == 60
    assert sides.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 30
    sides.sync()
    sides.sync(mode="full")
    assert len(sides.kinto.all("contacts")) == 60
    assert sides.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 30
    assert sides.count("SELECT count(*) FROM problems WHERE state = 'open'") == 0


def test_a_write_that_was_under_way_deletes_nothing_there(sides: Sides) -> None:  # noqa: F811
    """An intent that goes back to planned after the undo. Red without the look at who deleted the record."""
    sides.start()
    sides.kinto.put_all("contacts", [contact(100)])
    sides.sync()
    undo(sides, newest(sides))
    sides.owner.execute(
        "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id) SELECT l.tenant_id, "
        "gen_random_uuid(), l.installation_id, l.stream, l.record_id FROM links l WHERE external_id = 'contact-100'"
    )
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        from app.services import intents

        intents.wake(sides.tenant_id, sides.installation_id)
    sides.settle()
    assert sides.kinto.get("contacts", "contact-100")["city"] == "London"
    assert sides.count("SELECT count(*) FROM intents WHERE state = 'dropped'") == 1


def test_what_was_edited_since_stays_and_is_listed(sides: Sides) -> None:  # noqa: F811
    sides.start(direction="in")
    sides.kinto.put_all("contacts", [contact(n, city="Bonn") for n in range(3)])
    sides.kinto.put_all("contacts", [contact(100), contact(101)])
    sides.sync()
    run_id = newest(sides)
    sides.edit("person1@example.test", city="Oslo")
    sides.edit("person2@example.test", phone="1")
    sides.edit("person100@example.test", phone="1")
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        record_edits.delete(sides.tenant_id, sides.record("person101@example.test")[0], writer="Host")
    assert undo(sides, run_id) == full(put_back=1, edited=4)
    assert {item["title"] for item in state(sides, run_id)["left"]} == {
        "Ada Byron 1", "Ada Byron 2", "Ada Byron 100", "Ada Byron 101",
    }  # fmt: skip
    assert [sides.record(f"person{n}@example.test")[1]["city"] for n in range(3)] == ["London", "Oslo", "Bonn"]


def test_a_run_that_is_not_over_or_was_not_looked_at_cannot_be_undone(sides: Sides) -> None:  # noqa: F811
    sides.start(direction="in")
    done = newest(sides)
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id):
        with transaction():
            live = runs.start_run(sides.tenant_id, sides.installation_id, trigger="manual").id
        for act, run_id in ((undos.look, live), (partial(undos.begin, user_id=uuid.uuid4()), done)):
            with pytest.raises(ConflictError), transaction():
                act(sides.tenant_id, run_id)
    assert sides.count("SELECT count(*) FROM runs WHERE undone_at IS NOT NULL OR undo IS NOT NULL") == 0


def test_two_runs_are_undone_one_after_the_other(sides: Sides) -> None:  # noqa: F811
    """Red when the undo of the later run counted as an edit."""
    sides.start(direction="in")
    before, ids = snapshot(sides), []
    for city in ("Bonn", "Rome"):
        sides.kinto.put_all("contacts", [contact(n, city=city) for n in range(3)])
        sides.sync()
        ids.append(newest(sides))
    assert look(sides, ids[0]) == full(edited=3)
    assert undo(sides, ids[1]) == full(put_back=3)
    assert {sides.record(f"person{n}@example.test")[1]["city"] for n in range(3)} == {"Bonn"}
    assert undo(sides, ids[0]) == full(put_back=3)
    assert snapshot(sides) == before


def test_a_record_that_the_run_brought_back_is_deleted_again(sides: Sides) -> None:  # noqa: F811
    sides.start(direction="in")
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        record_edits.delete(sides.tenant_id, sides.record("person3@example.test")[0], writer="Host")
    sides.kinto.put_all("contacts", [contact(3, city="Bonn")])
    sides.sync()
    assert sides.record("person3@example.test")[1]["city"] == "Bonn"
    assert undo(sides, newest(sides)) == full(delete=1)
    assert sides.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 29
