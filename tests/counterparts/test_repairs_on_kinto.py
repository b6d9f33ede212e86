"""Problems of writing, against a real Kinto: an account that may only read, and many deletes at once."""

import uuid
from typing import Any

import psycopg
import pytest
import requests
from flask import Flask

from app.services import intents, problems, record_edits, repairs
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.kinto import PASSWORD, Kinto
from tests.counterparts.test_two_way_on_kinto import Sides, kinto, sides  # noqa: F401  # fixtures
from tests.factories.tenants import connect_kinto, make_tenant

READER = "reader"


class Reading(Sides):
    """Two-way sides whose account may read the bucket and write nothing."""

    def __init__(self, apps: dict[str, Flask], owner: psycopg.Connection, kinto: Kinto, drain: Any) -> None:  # noqa: F811
        self.apps, self.owner, self.kinto, self.drain = apps, owner, kinto, drain
        self.tenant_id = make_tenant(apps)
        account = f"{kinto.origin}/v1/accounts/{READER}"
        requests.put(account, json={"data": {"password": PASSWORD}}, timeout=5).raise_for_status()
        kinto.allow_reading(f"account:{READER}")
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, kinto.origin, PASSWORD, READER)
        drain("fast")

    def allow_writing(self) -> None:
        self.kinto._send("PATCH", "/v1/buckets/crm", json={"permissions": {"write": [f"account:{READER}"]}})


@pytest.fixture
def reading(
    apps: dict[str, Flask], clean: None, owner: psycopg.Connection, kinto: Kinto, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> Reading:  # fmt: skip
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Reading(apps, owner, kinto, drain_module.drain)


def opened(sides: Sides) -> dict[str, int]:  # noqa: F811
    return dict(sides.owner.execute("SELECT signature, count FROM problems WHERE state = 'open'").fetchall())


def try_now(sides: Sides, how: Any) -> None:  # noqa: F811
    row = sides.owner.execute("SELECT id FROM problems WHERE state = 'open'").fetchone()
    assert row is not None
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        problem = problems.get_problem(sides.tenant_id, row[0])
        repairs.try_now(sides.tenant_id, problem, how, uuid.uuid4())
    sides.drain("fast")
    sides.settle()


def test_writing_is_forbidden_until_a_write_is_accepted(reading: Reading) -> None:
    """Red when a run, or a test of the connection, closed it: both only read."""
    reading.start()
    reading.edit("person1@example.test", city="Oslo")
    reading.settle()
    assert opened(reading) == {"write_forbidden:contacts": 1}
    reading.sync()
    try_now(reading, "test")
    assert set(opened(reading)) == {"write_forbidden:contacts"}
    before = opened(reading)["write_forbidden:contacts"]
    try_now(reading, "write")
    assert opened(reading)["write_forbidden:contacts"] > before, "a try that fails is one more of the same"
    with reading.apps["web"].app_context(), bind_tenant(reading.tenant_id):
        problem = problems.list_open(reading.tenant_id)[0]
        found = repairs.affected(reading.tenant_id, problem)
    assert (found.count, found.waits, [row.title for row in found.rows]) == (1, True, ["Ada Byron 1"])
    reading.allow_writing()
    try_now(reading, "write")
    assert opened(reading) == {}
    assert reading.kinto.get("contacts", "contact-1")["city"] == "Oslo"
    assert reading.owner.execute("SELECT closed_by FROM problems").fetchall() == [("A write was accepted.",)]


@pytest.mark.parametrize("delete", [True, False])
def test_many_deletes_at_once_wait_for_an_answer(sides: Sides, delete: bool) -> None:  # noqa: F811
    sides.start()
    ids = [row[0] for row in sides.owner.execute("SELECT id FROM records ORDER BY id LIMIT 25").fetchall()]
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        record_edits.remove(sides.tenant_id, ids, writer="Host")
    sides.settle()
    assert opened(sides) == {"deletes_out:contacts": 25}
    sides.sync()
    sides.sync(mode="full")
    assert opened(sides) == {"deletes_out:contacts": 25}, "no run answers it"
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        found = repairs.affected(sides.tenant_id, problems.list_open(sides.tenant_id)[0])
        assert (found.count, found.waits, len(found.rows)) == (25, False, 5)
        assert intents.answer_deletes(sides.tenant_id, sides.installation_id, delete=delete) == 25
    sides.settle()
    assert opened(sides) == {}
    assert len(sides.kinto.all("contacts")) == (5 if delete else 30)
    sides.sync(mode="full")
    assert sides.count("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 5
