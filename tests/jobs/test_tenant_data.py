"""All data of a tenant: exported without secrets, erased to the last row, with a report that is signed and stays."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import orjson
import psycopg
import pytest
from flask import Flask

from app.crypto import KeyRing
from app.errors import ConflictError, InvalidError, NotFoundError
from app.services import accounts, destinations, erasures, exports, subscriptions, tenant_tables
from app.services.destinations import Wish
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.conflicts import Desk

Owner = psycopg.Connection[Any]
CANARY = "CANARY-secret"


class House(Desk):
    """A tenant with rows in all tables, and what may become of it."""

    def act(self, what: Callable[..., Any], *values: Any, **more: Any) -> Any:
        with self.apps["web"].test_request_context(), bind_tenant(self.tenant_id), transaction():
            return what(self.tenant_id, *values, **more)

    def platform(self, what: Callable[[], Any]) -> Any:
        with self.apps["web"].app_context(), bind_tenant(PLATFORM_TENANT), transaction():
            return what()

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.owner.execute("UPDATE tasks SET due_at = now() - interval '1 s' WHERE state = 'ready'")
            for lane in ("fast", "sync"):
                drain_module.drain(lane)

    def tables(self) -> list[str]:
        rows = self.all(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' "
            "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
        )
        return sorted(row[0] for row in rows)

    def counts(self) -> dict[str, int]:
        """Return table -> rows of this tenant, of those that have any."""
        found = {}
        for table in self.tables():
            ((count,),) = self.all(f'SELECT count(*) FROM "{table}" WHERE tenant_id = %s', self.tenant_id)
            found[table] = count
        return {table: count for table, count in found.items() if count}

    def fill(self) -> None:
        """Put a row into each table that has none, with a canary wherever bytes are kept."""
        for name in [table.name for table in tenant_tables.all_tables()]:
            if name != "erasures" and not self.counts().get(name):
                self._fill(name)

    def _fill(self, table: str) -> None:
        columns = self.all(
            "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_schema = 'public' AND table_name = %s", table,
        )  # fmt: skip
        values: dict[str, Any] = {}
        for name, kind, _nullable, _default in columns:
            made = self._value(table, name, kind)
            if made is not None:
                values[name] = made
        places = ", ".join("%s" for _ in values)
        names = ", ".join(f'"{name}"' for name in values)
        # Only for this: what refers to what is the business of other tests.
        with psycopg.connect(self.owner.info.dsn, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            self._insert_or_explain(connection, table, f'INSERT INTO "{table}" ({names}) VALUES ({places})', values)

    def _insert_or_explain(self, connection: Any, table: str, sql: str, values: dict[str, Any]) -> None:
        choices = self.all(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass", table
        )
        for (rule,) in choices:
            name = rule.split("(")[2].split(" ")[0].strip("()")
            if "ANY" in rule and name in values:
                values[name] = rule.split("'")[1]
        connection.execute(sql, list(values.values()))

    def _value(self, table: str, name: str, kind: str) -> Any:
        if name == "tenant_id":
            return self.tenant_id
        if name == "installation_id":
            return self.installation_id
        if (table, name) == ("signing_secrets", "destination_id"):
            return None  # A secret is of one only.
        plain: dict[str, Any] = {
            "uuid": uuid.uuid4(), "text": uuid.uuid4().hex, "bytea": CANARY.encode() + uuid.uuid4().bytes, "integer": 1, "bigint": 1, "boolean": False,
            "jsonb": "[]" if name in ("scopes",) else "{}", "ARRAY": [], "timestamp with time zone": "2026-01-01T00:00:00Z",
            "date": "2026-01-01", "time without time zone": "10:00",
        }  # fmt: skip
        if table == "support_grants" and name == "expires_at":
            return "2026-01-01T01:00:00Z"
        return plain[kind]


@pytest.fixture
def house(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    made = House(apps, owner)
    made.clash()
    made.act(subscriptions.create, subscriptions.Wish("Product", "https://host.test/in"), user_id=made.by.id)
    made.act(destinations.create, "slack", Wish("#ops", "problems", f"https://a.test/{CANARY}"), user_id=made.by.id)
    return made


def test_the_registry_knows_every_table_with_rows_of_a_tenant(house: House) -> None:
    """A table that is added is exported and erased, or says why it is not exported."""
    names = sorted(table.name for table in tenant_tables.all_tables())
    assert names == house.tables()
    assert sorted(table.name for table in tenant_tables.erase_order()) == [name for name in names if name != "erasures"]
    assert set(tenant_tables.NOT_EXPORTED) <= set(names)


def make_export(house: House) -> zipfile.ZipFile:
    made = house.act(exports.request)
    house.turn()
    rows = house.all("SELECT content FROM export_parts WHERE export_id = %s ORDER BY number", made.id)
    return zipfile.ZipFile(io.BytesIO(b"".join(bytes(row[0]) for row in rows)))


def test_an_export_holds_every_row_but_no_secret(house: House) -> None:
    house.fill()
    house.owner.execute("DELETE FROM exports")
    house.owner.execute("UPDATE object_fields SET sensitive = true WHERE name = 'phone'")
    try:
        archive = make_export(house)
    finally:
        house.owner.execute("UPDATE object_fields SET sensitive = false WHERE name = 'phone'")
    assert archive.testzip() is None
    names = set(archive.namelist())
    assert names == {"README.txt", "tenant.json"} | {
        f"tables/{table}.jsonl" for table in house.tables() if table not in tenant_tables.NOT_EXPORTED
    }
    whole = b"".join(archive.read(name) for name in names)
    assert CANARY.encode() not in whole
    assert b"+44 7700" not in whole, "a field that is marked as sensitive"
    (record,) = [json.loads(line) for line in archive.read("tables/records.jsonl").splitlines()]
    assert record["data"]["full_name"] == "Priya Raman"
    assert record["data"]["phone"] == "hidden"
    assert json.loads(archive.read("tenant.json"))["people"][0]["name"] == "Maja Lindqvist"
    (row,) = house.all("SELECT state, done = total, size FROM exports WHERE state = 'ready'")
    assert row[:2] == ("ready", True)
    assert [row[0] for row in house.all("SELECT action FROM audit WHERE action LIKE 'tenant.%%'")] == [
        "tenant.export_requested"
    ]


def test_a_large_table_is_read_to_its_end_by_keyset(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_tables, "BATCH", 3)
    for number in range(7):
        house.record(full_name=f"Ada {number}", email=f"ada{number}@example.test")
    archive = make_export(house)
    for table in ("records", "changes", "links", "audit", "volumes"):
        lines = archive.read(f"tables/{table}.jsonl").splitlines()
        ((count,),) = house.all(f"SELECT count(*) FROM {table} WHERE tenant_id = %s", house.tenant_id)
        assert len(lines) == count, table
        assert len(set(lines)) == count


def test_an_export_is_its_tenants_and_goes_in_time(house: House) -> None:
    other = House(house.apps, house.owner, "Brightwater")
    other.record(full_name="Theirs", email="theirs@example.test")
    archive = make_export(house)
    assert b"Theirs" not in b"".join(archive.read(name) for name in archive.namelist())
    ((export_id,),) = house.all("SELECT id FROM exports")
    assert house.act(exports.open_ready, None, export_id).state == "ready"
    with pytest.raises(NotFoundError):
        other.act(exports.open_ready, None, export_id)
    house.owner.execute("UPDATE exports SET expires_at = now() - interval '1 s'")
    with pytest.raises(NotFoundError):
        house.act(exports.open_ready, None, export_id)


def test_only_who_types_the_name_erases_and_it_can_be_taken_back(house: House) -> None:
    with pytest.raises(InvalidError):
        house.act(erasures.request, typed="aldgate joinery", email=None)
    house.act(erasures.request, typed="Aldgate Joinery", email=None)
    with pytest.raises(ConflictError):
        house.act(erasures.request, typed="Aldgate Joinery", email=None)
    # Even when its task is taken up too early.
    house.owner.execute("UPDATE tasks SET due_at = now() - interval '1 s' WHERE kind = 'erase_tenant'")
    drain_module.drain("sync")
    assert (house.counts()["records"], house.counts()["links"]) == (1, 1), "not before its time"
    assert house.all("SELECT state FROM erasures") == [("waiting",)]
    house.act(erasures.undo)
    house.owner.execute("UPDATE erasures SET erase_at = now() - interval '1 day'")
    house.turn(2)
    assert house.counts()["records"] == 1
    assert house.all("SELECT state, undone_name IS NOT NULL FROM erasures") == [("undone", True)]
    assert house.all("SELECT erase_at, erase_by FROM tenants WHERE id = %s", house.tenant_id) == [(None, None)]
    with pytest.raises(ConflictError):
        house.act(erasures.undo)


def test_everything_of_a_tenant_goes_and_nothing_of_another(house: House) -> None:
    other = House(house.apps, house.owner, "Brightwater")
    other.fill()
    theirs = other.counts()
    house.fill()
    both = other._user("Works for both", "member")
    with house.apps["owner"].app_context(), bind_tenant(house.tenant_id), transaction():
        accounts.add_member(house.tenant_id, both, "member")
    theirs = other.counts()
    mine = house.counts()
    assert set(mine) == set(house.tables()) - {"erasures"}
    house.act(erasures.request, typed="Aldgate Joinery", email="maja@example.com", at_once=True)
    house.turn(3)
    house.owner.execute("UPDATE erasures SET started_at = started_at - interval '2 hours' WHERE state = 'working'")
    house.turn(2)
    assert house.counts() == {}
    assert other.counts() == theirs
    assert house.all("SELECT 1 FROM tenants WHERE id = %s", house.tenant_id) == []
    assert house.all("SELECT 1 FROM users WHERE id = %s", house.by.id) == []
    assert house.all("SELECT 1 FROM users WHERE id IN (%s, %s)", both, other.by.id) == [(1,), (1,)]
    ((state, report_text, email, people),) = house.all("SELECT state, report, requested_email, people FROM erasures")
    report = json.loads(report_text)
    assert (state, email, people) == ("done", None, [])
    assert report["tenant"]["name"] == "Aldgate Joinery"
    # Those of a connection went when its access was given back; what the erasure itself wrote went as well.
    del mine["credentials"], mine["installation_status"]
    assert {table: count for table, count in mine.items() if report["rows_deleted"].get(table, 0) < count} == {}
    assert (report["accounts_deleted"], report["accounts_kept"]) == (1, 1)
    assert house.all("SELECT recipient FROM mails WHERE template = 'erased'") == [("maja@example.com",)]


def test_the_report_is_signed_and_a_changed_one_is_not_genuine(house: House) -> None:
    house.act(erasures.request, typed="Aldgate Joinery", email=None, at_once=True)
    house.turn(3)
    ((erasure_id,),) = house.all("SELECT id FROM erasures WHERE state = 'done'")
    report = house.platform(lambda: erasures.get_report(erasure_id))
    assert report["signature"]["algorithm"] == "Ed25519"
    check = lambda some: house.platform(lambda: erasures.is_genuine(some))  # noqa: E731
    assert check(report)
    assert check(orjson.loads(orjson.dumps(report)))
    assert not check({**report, "rows_deleted_in_all": 1})
    assert not check({name: value for name, value in report.items() if name != "signature"})
    assert not check({**report, "signature": {**report["signature"], "key": "00000000"}})
    assert not KeyRing(None).is_signed(b"", report["signature"])


def test_access_is_given_back_before_anything_goes(house: House) -> None:
    house.act(erasures.request, typed="Aldgate Joinery", email=None, at_once=True)
    house.owner.execute("UPDATE tasks SET due_at = now() + interval '1 day' WHERE kind = 'revoke'")
    drain_module.drain("sync")
    assert house.all("SELECT state FROM installations WHERE tenant_id = %s", house.tenant_id) == [("removed",)]
    assert house.all("SELECT count(*) FROM tasks WHERE kind = 'revoke' AND state = 'ready'") == [(1,)]
    assert house.counts()["records"] == 1, "waits for the vendor"
    with pytest.raises(ConflictError, match="has begun"):
        house.act(erasures.undo)
    house.turn(2)
    ((report,),) = house.all("SELECT report FROM erasures")
    assert json.loads(report)["access_given_back"] == {"no_address": 1}


def test_a_worker_that_is_lost_is_gone_on_with(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_tables, "ERASED_AT_ONCE", 2)
    for number in range(5):
        house.record(full_name=f"Ada {number}", email=f"ada{number}@example.test")
    before = house.counts()
    house.act(erasures.request, typed="Aldgate Joinery", email=None, at_once=True)
    real, calls = tenant_tables.erase_some, []

    def die(*values: Any) -> int:
        calls.append(values)
        if len(calls) in (4, 20, 60):
            raise RuntimeError("killed")
        return real(*values)

    monkeypatch.setattr(tenant_tables, "erase_some", die)
    house.turn(8)
    assert len(calls) > 60
    assert house.counts() == {}
    ((report,),) = house.all("SELECT report FROM erasures")
    assert json.loads(report)["accounts_deleted"] == 1
    counted = json.loads(report)["rows_deleted"]
    assert counted["records"] == before["records"]
    assert counted["links"] == before["links"]


def test_the_audit_log_of_a_tenant_that_stays_cannot_be_deleted(house: House, environment: dict[str, str]) -> None:
    ((count,),) = house.all("SELECT count(*) FROM audit WHERE tenant_id = %s", house.tenant_id)
    with psycopg.connect(environment["PATCHBAY_WORKER_URL"], autocommit=True) as connection:
        assert connection.execute("SELECT erase_audit(%s, 100)", (house.tenant_id,)).fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM audit")
    assert house.all("SELECT count(*) FROM audit WHERE tenant_id = %s", house.tenant_id) == [(count,)]
    with house.apps["worker"].app_context(), bind_tenant(PLATFORM_TENANT), transaction(), pytest.raises(ValueError):
        tenant_tables.erase_some(tenant_tables.all_tables()[0], PLATFORM_TENANT)
