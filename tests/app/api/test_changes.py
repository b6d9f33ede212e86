"""The change stream loses nothing when transactions commit in another order than they began."""

import random
import threading
import time
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.clock import now, replace_source
from app.ids import new_id
from tests.factories.api_keys import Caller, tenant_caller
from tests.factories.tenants import make_tenant

Apps = dict[str, Flask]
Owner = psycopg.Connection[Any]
_INSERT = (
    "INSERT INTO changes (tenant_id, id, record_id, object_type, operation, after, writer) "
    "VALUES (%s, %s, %s, 'contact', 'updated', '{\"city\": \"Bonn\"}', 'test')"
)


@pytest.fixture
def tenant(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps)


def drain(call: Caller, cursor: str, more: str = "") -> tuple[list[dict[str, Any]], str]:
    """Return all changes after a cursor, and the next one."""
    found: list[dict[str, Any]] = []
    while True:
        page = call("GET", f"/changes?limit=50&cursor={cursor}{more}").json
        found += page["data"]
        cursor = page["next"]
        if not page["more"]:
            return found, cursor


def test_what_becomes_of_records_is_told(apps: Apps, tenant: uuid.UUID) -> None:
    call = tenant_caller(apps, tenant)
    start = call("GET", "/changes?start=now").json["next"]
    one = call("PUT", "/records/contact/external/u-1", {"data": {"email": "ada@example.com"}}).json
    call("PUT", "/records/contact/external/u-1", {"data": {"city": "Bonn"}})
    call("PUT", "/records/company/external/c-1", {"data": {"name": "Aldgate"}})
    call("DELETE", f"/records/contact/{one['id']}")
    found, onward = drain(call, start, "&object_type=contact")
    assert [(c["kind"], c["external_id"], c["fields"], c["data"]) for c in found] == [
        ("added", "u-1", ["email"], {"email": "ada@example.com"}),
        ("updated", "u-1", ["city"], {"city": "Bonn"}),
        ("deleted", "u-1", ["city", "email"], {}),
    ]
    assert drain(call, onward)[0] == []
    assert len(drain(call, "")[0]) == 4


def test_a_late_commit_is_not_lost(apps: Apps, tenant: uuid.UUID, environment: dict[str, str]) -> None:
    """The transaction that began first commits last; a reader by `id > last` has passed it by then."""
    call = tenant_caller(apps, tenant)
    _, cursor = drain(call, "")
    early, late = new_id(), new_id()
    with psycopg.connect(environment["PATCHBAY_OWNER_URL"]) as slow:
        slow.execute(_INSERT, (tenant, early, uuid.uuid4()))
        with psycopg.connect(environment["PATCHBAY_OWNER_URL"]) as quick:
            quick.execute(_INSERT, (tenant, late, uuid.uuid4()))
        naive = [uuid.UUID(c["id"]) for c in _by_id(environment, tenant, uuid.UUID(int=0))]
        seen, cursor = drain(call, cursor)
        slow.commit()
    later, cursor = drain(call, cursor)
    assert [uuid.UUID(c["id"]) for c in seen + later] == [early, late]
    naive += [uuid.UUID(c["id"]) for c in _by_id(environment, tenant, naive[-1])]
    assert early not in naive, "the naive reader does lose it, so this test can see a loss"


def _by_id(environment: dict[str, str], tenant: uuid.UUID, after: uuid.UUID) -> list[dict[str, Any]]:
    with psycopg.connect(environment["PATCHBAY_OWNER_URL"]) as connection:
        rows = connection.execute(
            "SELECT id FROM changes WHERE tenant_id = %s AND id > %s ORDER BY id", (tenant, after)
        ).fetchall()
    return [{"id": str(row[0])} for row in rows]


def test_parallel_writers_and_a_reader_lose_nothing(apps: Apps, tenant: uuid.UUID, environment: dict[str, str]) -> None:
    call = tenant_caller(apps, tenant)
    _, cursor = drain(call, "")
    made: list[str] = []
    over = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(environment["PATCHBAY_OWNER_URL"]) as connection:
            for _ in range(40):
                mine = [new_id() for _ in range(chance.randint(1, 4))]
                for change_id in mine:
                    connection.execute(_INSERT, (tenant, change_id, uuid.uuid4()))
                    time.sleep(chance.random() * 0.004)
                if chance.random() < 0.15:
                    connection.rollback()
                else:
                    connection.commit()
                    made.extend(map(str, mine))

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    seen: list[str] = []
    lost_by_id, last = set[str](), uuid.UUID(int=0)
    naive: list[str] = []
    while not over.is_set():
        if not any(thread.is_alive() for thread in threads):
            over.set()
        found, cursor = drain(call, cursor)
        seen += [change["id"] for change in found]
        fresh = _by_id(environment, tenant, last)
        naive += [change["id"] for change in fresh]
        last = uuid.UUID(naive[-1]) if naive else last
    assert sorted(seen) == sorted(made)
    lost_by_id = set(made) - set(naive)
    print(f"\nCHANGES {len(made)} written, {len(made) - len(seen)} lost; by `id > last` {len(lost_by_id)} lost")
    assert lost_by_id


def test_a_cursor_of_before_what_is_kept_is_refused(apps: Apps, tenant: uuid.UUID) -> None:
    call = tenant_caller(apps, tenant)
    cursor = call("GET", "/changes?start=now").json["next"]
    try:
        at = now() + timedelta(days=91)
        replace_source(lambda: at)
        answer = call("GET", f"/changes?cursor={cursor}")
        assert (answer.status_code, answer.json["code"]) == (410, "cursor_expired")
    finally:
        replace_source(None)
    from app.api.paging import pack

    restored = pack(2**60, str(uuid.UUID(int=0)), int(now().timestamp()))
    assert call("GET", f"/changes?cursor={restored}").status_code == 410
    assert call("GET", "/changes?cursor=bm8").json["code"] == "invalid_cursor"


def test_other_tenants_are_not_in_it(apps: Apps, tenant: uuid.UUID) -> None:
    other = tenant_caller(apps, make_tenant(apps, "Other"))
    other("PUT", "/records/contact/external/u-1", {"data": {"email": "canary@example.com"}})
    assert drain(tenant_caller(apps, tenant), "")[0] == []
    assert len(drain(other, "")[0]) == 1
