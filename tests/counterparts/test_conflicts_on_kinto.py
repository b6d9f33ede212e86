"""Conflicts against a real Kinto: what is decided reaches both sides, and the sync after it does nothing."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import ConflictError
from app.services import conflict_decisions, conflict_records, conflict_similar, conflicts, record_edits
from app.services.conflict_decisions import By, Choice
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.kinto import Kinto, contact
from tests.counterparts.test_two_way_on_kinto import Sides
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]


class Table(Sides):
    """Both sides, and a person who decides."""

    by = By(None, "Maja Lindqvist")

    def clash(self, *numbers: int, ours: str = "Oslo", theirs: str = "Bonn") -> None:
        """Change the city of contacts on both sides and let them meet."""
        self.kinto.put_all("contacts", [contact(n, city=theirs) for n in numbers])
        for n in numbers:
            self.edit(f"person{n}@example.test", city=ours)
        self.sync()

    def conflict(self, number: int, *, state: str = "open") -> uuid.UUID:
        """Return the conflict of a contact."""
        row = self.owner.execute(
            "SELECT id FROM conflicts WHERE external_id = %s AND state = %s", (f"contact-{number}", state)
        ).fetchone()
        assert row is not None, number
        found: uuid.UUID = row[0]
        return found

    def seen(self, conflict_id: uuid.UUID) -> str:
        """Return the mark that the page of a conflict carries now."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            conflict, record = conflict_decisions.hold(self.tenant_id, conflict_id)
            return conflicts.digest_of(conflict, record)

    def decide(self, conflict_id: uuid.UUID, *, similar: bool = False, seen: str = "", **choices: Choice) -> None:
        """Settle a conflict of values as its page does, and work until nothing is due."""
        mark = seen or self.seen(conflict_id)
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id):
            with transaction():
                conflict = conflict_decisions.decide_fields(self.tenant_id, conflict_id, choices, seen=mark, by=self.by)
                if similar:
                    conflict_similar.carry_over(self.tenant_id, conflict, same=False)
            if similar:
                with transaction():
                    conflict_similar.go_on(self.tenant_id, conflict_id)
        self.settle()

    def answer(self, conflict_id: uuid.UUID, answer: Any) -> None:
        """Settle a conflict between a delete and an edit."""
        mark = self.seen(conflict_id)
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            conflict_records.decide_delete(self.tenant_id, conflict_id, answer, seen=mark, by=self.by)
        self.settle()

    def cities(self, number: int) -> tuple[str, str]:
        """Return (here, there)."""
        return self.record(f"person{number}@example.test")[1]["city"], self.kinto.get("contacts", f"contact-{number}")[
            "city"
        ]

    def rests(self) -> bool:
        """Whether a sync, and a full one after it, change nothing on either side."""
        before = self._state()
        self.sync()
        self.sync(mode="full")
        return self._state() == before

    def _state(self) -> tuple[Any, ...]:
        there = sorted((item["id"], item["last_modified"]) for item in self.kinto.all("contacts"))
        counts = [
            self.count(f"SELECT count(*) FROM {what}")
            for what in ("changes", "intents", "conflicts", "conflicts WHERE state = 'open'", "records WHERE deleted_at IS NULL")
        ]  # fmt: skip
        return there, counts


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    server = Kinto(tmp_path).start()
    server.put_all("contacts", [contact(n) for n in range(60)])
    yield server
    server.stop()


@pytest.fixture
def table(apps: dict[str, Flask], clean: None, owner: Owner, kinto: Kinto, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Table(apps, owner, kinto, drain_module.drain)


@pytest.mark.parametrize("policy", ["theirs", "ours"])
def test_d05_the_policy_is_applied_and_the_value_that_gave_way_is_kept(table: Table, policy: str) -> None:
    table.start(policy=policy)
    table.clash(*range(60))
    winner = {"theirs": "Bonn", "ours": "Oslo"}[policy]
    kept = table.owner.execute(
        "SELECT count(*) FROM conflicts WHERE state = 'settled' AND resolution = 'policy' AND policy = %s "
        'AND base = \'{"city": "London"}\' AND ours = \'{"city": "Oslo"}\' AND theirs = \'{"city": "Bonn"}\' '
        "AND choices = jsonb_build_object('city', %s::text)",
        (policy, policy),
    ).fetchone()
    equal = sum(table.cities(n) == (winner, winner) for n in range(60))
    print(f"\nD05 {policy} applied {equal} of 60, kept {kept and kept[0]} of 60")
    assert equal == 60
    assert kept == (60,)
    assert table.rests()


@pytest.mark.parametrize(("choice", "city"), [
    (Choice("theirs"), "Bonn"), (Choice("ours"), "Oslo"), (Choice("base"), "London"), (Choice("edited", "Rome"), "Rome"),
])  # fmt: skip
def test_a_decision_reaches_both_sides_and_the_next_sync_does_nothing(table: Table, choice: Choice, city: str) -> None:
    table.start()
    table.clash(3)
    assert table.cities(3) == ("Oslo", "Bonn")
    table.decide(table.conflict(3), city=choice)
    assert table.cities(3) == (city, city)
    assert table.rests()
    assert table.count("SELECT count(*) FROM problems WHERE state = 'open'") == 0


def test_fields_are_decided_one_by_one(table: Table) -> None:
    table.start()
    table.kinto.put_all("contacts", [contact(3, city="Bonn", phone="+49 1", country="DE")])
    table.edit("person3@example.test", city="Oslo", phone="+47 1", country="NO")
    table.sync()
    table.decide(
        table.conflict(3), city=Choice("theirs"), phone=Choice("ours"), country=Choice("edited", "SE")
    )  # fmt: skip
    here, there = table.record("person3@example.test")[1], table.kinto.get("contacts", "contact-3")
    for side in (here, there):
        assert (side["city"], side["phone"], side["country"]) == ("Bonn", "+47 1", "SE")
    assert table.rests()


def test_similar_ones_reach_both_sides_together(table: Table) -> None:
    table.start()
    table.clash(*range(40))
    table.decide(table.conflict(0), similar=True, city=Choice("ours"))
    assert [table.cities(n) for n in range(40)] == [("Oslo", "Oslo")] * 40
    assert table.count("SELECT count(*) FROM conflicts WHERE state = 'open'") == 0
    assert table.rests()


def test_what_changes_there_while_it_is_open_is_shown_and_decided_about(table: Table) -> None:
    table.start()
    table.clash(3)
    one = table.conflict(3)
    seen = table.seen(one)
    table.kinto.put_all("contacts", [contact(3, city="Rome")])
    table.sync()
    row = table.owner.execute("SELECT id, theirs, theirs_at IS NOT NULL FROM conflicts WHERE state = 'open'").fetchone()
    assert row == (one, {"city": "Rome"}, True)
    with pytest.raises(ConflictError, match="A value has changed since"):
        table.decide(one, seen=seen, city=Choice("theirs"))
    table.decide(one, city=Choice("theirs"))
    assert table.cities(3) == ("Rome", "Rome")
    assert table.rests()


def test_what_changes_there_after_the_decision_is_asked_about_once_more(table: Table) -> None:
    table.start()
    table.clash(3)
    one = table.conflict(3)
    table.kinto.put_all("contacts", [contact(3, city="Rome")])  # Nobody has read that yet.
    table.decide(one, city=Choice("ours"))
    assert table.cities(3) == ("Oslo", "Rome")
    assert table.conflict(3) != one
    table.decide(table.conflict(3), city=Choice("ours"))
    assert table.cities(3) == ("Oslo", "Oslo")
    assert table.rests()


@pytest.mark.parametrize("side", ["theirs", "ours"])
def test_it_settles_by_itself_when_both_sides_come_to_agree(table: Table, side: str) -> None:
    table.start()
    table.clash(3)
    assert table.count("SELECT count(*) FROM problems WHERE code = 'conflicts_open' AND state = 'open'") == 1
    if side == "theirs":
        table.kinto.put_all("contacts", [contact(3, city="Oslo")])
    else:
        table.edit("person3@example.test", city="Bonn")
    table.sync()
    row = table.owner.execute("SELECT state, resolution FROM conflicts").fetchall()
    assert row == [("settled", "agreed")]
    assert table.count("SELECT count(*) FROM problems WHERE code = 'conflicts_open' AND state = 'open'") == 0
    assert table.rests()


def test_of_two_who_decide_at_once_one_does_and_both_sides_have_that_value(table: Table) -> None:
    table.start()
    table.clash(3)
    one = table.conflict(3)
    seen = table.seen(one)

    def decide(number: int) -> str:
        try:
            with table.apps["web"].app_context(), bind_tenant(table.tenant_id), transaction():
                choice = Choice("theirs" if number else "ours")
                conflict_decisions.decide_fields(
                    table.tenant_id, one, {"city": choice}, seen=seen, by=By(None, str(number))
                )
        except ConflictError as error:
            return error.code
        return "saved"

    answers = together(2, decide)
    assert sorted(answers) == ["conflict_settled", "saved"]
    table.settle()
    winner = "Oslo" if answers[0] == "saved" else "Bonn"
    assert table.cities(3) == (winner, winner)
    assert table.rests()


def _deleted_there(table: Table) -> uuid.UUID:
    table.start()
    table.kinto.delete("contacts", "contact-4")
    table.edit("person4@example.test", city="Oslo")
    table.sync()
    return table.conflict(4)


def test_deleted_there_and_here_too(table: Table) -> None:
    table.answer(_deleted_there(table), "delete")
    assert table.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 59
    assert len(table.kinto.all("contacts")) == 59
    assert table.rests()


def test_deleted_there_and_created_again(table: Table) -> None:
    table.answer(_deleted_there(table), "create")
    there = [item for item in table.kinto.all("contacts") if item.get("email") == "person4@example.test"]
    assert [item["city"] for item in there] == ["Oslo"]
    assert len(table.kinto.all("contacts")) == 60
    assert table.rests()
    table.edit("person4@example.test", city="Rome")
    table.settle()
    assert table.kinto.get("contacts", there[0]["id"])["city"] == "Rome"


def test_deleted_there_and_kept_only_here(table: Table) -> None:
    table.answer(_deleted_there(table), "keep")
    assert table.record("person4@example.test")[1]["city"] == "Oslo"
    table.edit("person4@example.test", city="Rome")
    table.settle()
    assert len(table.kinto.all("contacts")) == 59
    assert table.rests()


def test_deleted_there_and_there_again_by_itself(table: Table) -> None:
    one = _deleted_there(table)
    table.kinto.put_all("contacts", [contact(4, city="Oslo")])
    table.sync()
    assert table.owner.execute("SELECT resolution FROM conflicts WHERE id = %s", (one,)).fetchone() == ("agreed",)
    assert table.rests()


def _deleted_here(table: Table) -> uuid.UUID:
    table.start()
    table.kinto.put_all("contacts", [contact(6, city="Bonn")])
    with table.apps["web"].app_context(), bind_tenant(table.tenant_id), transaction():
        record_edits.delete(table.tenant_id, table.record("person6@example.test")[0], writer="Host")
    table.settle()
    return table.conflict(6)


@pytest.mark.parametrize(("answer", "left"), [("keep", 60), ("delete", 59)])
def test_deleted_here_and_edited_there(table: Table, answer: str, left: int) -> None:
    table.answer(_deleted_here(table), answer)
    assert table.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == left
    assert len(table.kinto.all("contacts")) == left
    assert table.rests()


def _match(table: Table) -> tuple[uuid.UUID, list[uuid.UUID]]:
    """Return (conflict, records): two of the host's contacts have the key of one over there."""
    with table.apps["web"].app_context(), bind_tenant(table.tenant_id), transaction():
        ids = [
            record_edits.create(table.tenant_id, "contact", {"email": "twin@example.test", "phone": phone}, writer="Host").id
            for phone in ("+1", "+2")
        ]  # fmt: skip
    table.start(policy="theirs")
    table.kinto.put_all("contacts", [contact(99, email="twin@example.test", phone="+3")])
    table.sync()
    return table.conflict(99), ids


@pytest.mark.parametrize("choose", ["first", "new"])
def test_which_record_it_is(table: Table, choose: str) -> None:
    one, ids = _match(table)
    before = len(table.kinto.all("contacts"))
    record_id = ids[0] if choose == "first" else None
    mark = table.seen(one)
    with table.apps["web"].app_context(), bind_tenant(table.tenant_id), transaction():
        conflict_records.decide_match(table.tenant_id, one, record_id, seen=mark, by=table.by)
    table.settle()
    rows = table.owner.execute(
        "SELECT r.id, r.data->>'phone', l.external_version IS NOT NULL FROM records r JOIN links l ON l.record_id = r.id "
        "WHERE l.external_id = 'contact-99'"
    ).fetchall()
    assert [row[1:] for row in rows] == [("+3", True)]
    assert (rows[0][0] == ids[0]) is (choose == "first")
    assert rows[0][0] != ids[1]
    assert len(table.kinto.all("contacts")) == before
    table.settle()
    assert table.rests()
