"""Both ways against a real Kinto, worker functions called in this process."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.models.installations import InstallationStream
from app.services import record_edits, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.kinto import PASSWORD, Kinto, contact
from tests.factories.tenants import activate, connect_kinto, make_tenant

Owner = psycopg.Connection[Any]


class Sides:
    """One tenant whose contacts flow both ways to a Kinto."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, kinto: Kinto, drain: Any) -> None:
        self.apps, self.owner, self.kinto, self.drain = apps, owner, kinto, drain
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, kinto.origin, PASSWORD)
        drain("fast")

    def start(self, *, policy: str = "ask", direction: str = "both") -> None:
        """Let contacts flow and run for the first time."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            for stream in db.session.scalars(db.select(InstallationStream)):
                stream.direction, stream.conflict_policy = direction, policy
                stream.enabled = stream.stream == "contacts"
        with self.apps["web"].app_context():
            activate(self.tenant_id, self.installation_id)
        self.settle()

    def settle(self) -> None:
        """Work until nothing is due."""
        for _ in range(20):
            if not self.drain("sync"):
                return

    def sync(self, **more: Any) -> None:
        """Run once and settle."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            runs.start_run(self.tenant_id, self.installation_id, trigger="manual", **more)
        self.settle()

    def record(self, email: str) -> tuple[uuid.UUID, dict[str, Any]]:
        """Return (id, values) of the host's contact."""
        row = self.owner.execute(
            "SELECT id, data FROM records WHERE data->>'email' = %s AND deleted_at IS NULL", (email,)
        ).fetchone()
        assert row is not None, email
        return row[0], row[1]

    def edit(self, email: str, **values: Any) -> None:
        """Change the host's contact as its own product would."""
        record_id, _ = self.record(email)
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            record_edits.update(self.tenant_id, record_id, values, writer="Host")

    def count(self, what: str) -> int:
        """Return the first value of a query."""
        row = self.owner.execute(what).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    server = Kinto(tmp_path).start()
    server.put_all("contacts", [contact(n) for n in range(30)])
    yield server
    server.stop()


@pytest.fixture
def sides(apps: dict[str, Flask], clean: None, owner: Owner, kinto: Kinto, monkeypatch: pytest.MonkeyPatch) -> Sides:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Sides(apps, owner, kinto, drain_module.drain)


def test_edits_of_both_sides_meet_and_a_second_run_does_nothing(sides: Sides) -> None:
    sides.start()
    assert sides.count("SELECT count(*) FROM intents") == 0
    sides.edit("person1@example.test", city="Oslo")
    sides.kinto.put_all("contacts", [contact(2, city="Bonn")])
    sides.settle()
    assert sides.kinto.get("contacts", "contact-1")["city"] == "Oslo"
    sides.sync()
    assert sides.record("person2@example.test")[1]["city"] == "Bonn"
    before = sides.count("SELECT count(*) FROM changes")
    sides.sync()
    sides.sync(mode="full")
    assert sides.count("SELECT count(*) FROM changes") == before
    assert sides.count("SELECT count(*) FROM intents WHERE state = 'confirmed'") == 1


def test_what_only_we_have_is_created_there_once_and_linked(sides: Sides) -> None:
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        record_edits.create(sides.tenant_id, "contact", {"email": "new@example.test", "city": "Rome"}, writer="Host")
    sides.start()
    row = sides.owner.execute("SELECT external_id FROM links WHERE external_id NOT LIKE 'contact-%'").fetchone()
    assert row is not None
    assert sides.kinto.get("contacts", row[0])["email"] == "new@example.test"
    sides.sync(mode="full")
    assert len(sides.kinto.all("contacts")) == 31
    assert sides.count("SELECT count(*) FROM records") == 31


def test_the_same_field_changed_on_both_sides_waits_for_a_person(sides: Sides) -> None:
    sides.start()
    sides.kinto.put_all("contacts", [contact(3, city="Bonn")])
    sides.edit("person3@example.test", city="Oslo", phone="1")
    sides.settle()
    row = sides.owner.execute("SELECT kind, base, ours, theirs FROM conflicts WHERE state = 'open'").fetchone()
    assert row == ("fields", {"city": contact(3)["city"]}, {"city": "Oslo"}, {"city": "Bonn"})
    there = sides.kinto.get("contacts", "contact-3")
    assert (there["city"], there["phone"]) == ("Bonn", "1")


def test_a_delete_there_does_not_take_away_an_edit_here(sides: Sides) -> None:
    sides.start()
    sides.kinto.delete("contacts", "contact-4")
    sides.edit("person4@example.test", city="Oslo")
    sides.settle()
    assert sides.record("person4@example.test")[1]["city"] == "Oslo"
    assert sides.owner.execute("SELECT kind, state FROM conflicts").fetchall() == [("deleted_there", "open")]
    sides.sync()
    sides.sync(mode="full")
    assert len(sides.kinto.all("contacts")) == 29


def test_a_delete_here_is_carried_over_and_an_edit_there_is_kept(sides: Sides) -> None:
    sides.start()
    sides.kinto.put_all("contacts", [contact(6, city="Bonn")])
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        for number in (5, 6):
            record_edits.delete(sides.tenant_id, sides.record(f"person{number}@example.test")[0], writer="Host")
    sides.settle()
    ids = {item["id"] for item in sides.kinto.all("contacts")}
    assert "contact-5" not in ids
    assert "contact-6" in ids
    assert sides.record("person6@example.test")[1]["city"] == "Bonn"
    assert sides.owner.execute("SELECT kind, external_id FROM conflicts").fetchall() == [("deleted_here", "contact-6")]


def test_a_record_that_may_be_there_already_is_not_made_there_again(sides: Sides) -> None:
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        for _ in range(2):
            record_edits.create(sides.tenant_id, "contact", {"email": "person1@example.test"}, writer="Host")
    sides.start()
    assert sides.owner.execute("SELECT kind, state FROM conflicts WHERE state = 'open'").fetchall() == [
        ("match", "open")
    ]
    assert len(sides.kinto.all("contacts")) == 30
