"""E02, E03: what becomes of events on their way to dispatches."""

import random
import threading
import time
import uuid
from typing import Any

import orjson
import psycopg
import pytest
from flask import Flask

from app.services import fan_out
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.connectors.sdk.servers import Answer, Call
from tests.factories.events import listen, write_changes
from tests.factories.tenants import make_tenant
from tests.jobs.conftest import site  # noqa: F401  # a fixture
from tests.jobs.sites import Site, good

Owner = psycopg.Connection[Any]


def bound(url: str, tenant_id: uuid.UUID) -> psycopg.Connection[Any]:
    """Return a connection of the worker's role in a transaction of the tenant."""
    connection = psycopg.connect(url)
    connection.execute("SELECT set_config('patchbay.tenant', %s, false)", (str(tenant_id),))
    connection.commit()
    return connection


@pytest.fixture
def tenant(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> uuid.UUID:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return make_tenant(apps)


def spread_all(apps: dict[str, Flask], tenant_id: uuid.UUID, *, once: bool = False) -> int:
    """Hand on what is new, or one batch of it, in this process; return how many there were."""
    total = 0
    with apps["worker"].app_context():
        while True:
            with bind_tenant(tenant_id), transaction():
                count = fan_out.spread(tenant_id)
            total += count
            if once or not count:
                return total


def test_e02_outbox_commit_order(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    """8 writers, 4,000 events, each transaction committed a moment after its ids were made: none is lost.

    A reader that goes on from the last id it has seen is run beside it, and loses: the order is really mixed up.
    """
    listen(apps, tenant, types=["record.*"])
    written: list[uuid.UUID] = []

    def write(seed: int) -> None:
        dice = random.Random(seed)
        with bound(environment["PATCHBAY_WORKER_URL"], tenant) as connection:
            for _ in range(50):
                ids = write_changes(connection, tenant, 10)
                time.sleep(dice.random() * 0.02)
                connection.commit()
                written.extend(ids)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(8)]
    for writer in writers:
        writer.start()
    last, naive = uuid.UUID(int=0), 0
    while any(writer.is_alive() for writer in writers):
        spread_all(apps, tenant, once=True)
        rows = owner.execute("SELECT id FROM changes WHERE id > %s ORDER BY id", (last,)).fetchall()
        naive, last = naive + len(rows), rows[-1][0] if rows else last
    for writer in writers:
        writer.join()
    spread_all(apps, tenant)
    assert len(written) == 4000
    sent = [row[0] for row in owner.execute("SELECT event_id FROM dispatches").fetchall()]
    assert len(sent) == 4000
    assert set(sent) == set(written)
    assert naive < 4000
    print(f"LOST 0/4000 by state, {4000 - naive}/4000 by id > last")


def test_e03_rollback_no_event(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    listen(apps, tenant)
    with bound(environment["PATCHBAY_WORKER_URL"], tenant) as connection:
        for _ in range(500):
            write_changes(connection, tenant, 1)
            connection.rollback()
    assert spread_all(apps, tenant) == 0
    assert owner.execute("SELECT count(*) FROM dispatches").fetchone() == (0,)
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'fan_out'").fetchone() == (0,)


def test_a_change_wakes_the_fan_out_and_two_at_once_are_not_lost(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    listen(apps, tenant)
    with bound(environment["PATCHBAY_WORKER_URL"], tenant) as connection:
        write_changes(connection, tenant, 3)
        connection.commit()
        assert owner.execute("SELECT state, lane, rerun FROM tasks").fetchall() == [("ready", "send", False)]
        owner.execute("UPDATE tasks SET state = 'leased', lease_until = now() + interval '1 min'")
        write_changes(connection, tenant, 1)
        connection.commit()
        assert owner.execute("SELECT rerun FROM tasks").fetchall() == [(True,)]
        owner.execute("UPDATE tasks SET state = 'ready', rerun = false, lease_until = null")
    drain_module.drain("send")
    assert owner.execute("SELECT count(*) FROM changes WHERE fan_out = 'new'").fetchone() == (0,)
    assert owner.execute("SELECT count(*) FROM dispatches").fetchone() == (4,)


def test_where_nobody_listens_rows_are_written_as_done(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    listen(apps, tenant, types=["run.*"])
    other = make_tenant(apps, "Other")
    listen(apps, other, types=["record.created"])
    with bound(environment["PATCHBAY_WORKER_URL"], tenant) as connection:
        write_changes(connection, tenant, 5)
        connection.commit()
    assert owner.execute("SELECT DISTINCT fan_out FROM changes").fetchall() == [("done",)]
    assert owner.execute("SELECT count(*) FROM tasks").fetchone() == (0,)


def test_filters_by_type_object_type_and_field(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    by_type = listen(apps, tenant, types=["record.deleted"])
    by_object = listen(apps, tenant, types=["record.*"], object_types=["company"])
    by_field = listen(apps, tenant, types=["record.*"], fields=["phone"])
    named = listen(apps, tenant, types=["record.*"], fields=["name"])
    with bound(environment["PATCHBAY_WORKER_URL"], tenant) as connection:
        for operation in ("updated", "deleted", "linked"):
            write_changes(connection, tenant, 1, operation=operation)
        connection.commit()
    spread_all(apps, tenant)
    rows = owner.execute("SELECT subscription_id, type FROM dispatches ORDER BY id").fetchall()
    assert [row[1] for row in rows if row[0] == by_type] == ["record.deleted"]
    assert [row[1] for row in rows if row[0] == by_object] == []
    assert [row[1] for row in rows if row[0] == by_field] == ["record.deleted"]
    assert [row[1] for row in rows if row[0] == named] == ["record.updated", "record.deleted", "record.updated"]


def test_the_host_hears_of_every_tenant_and_a_tenant_of_itself(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    other = make_tenant(apps, "Other")
    host = listen(apps, PLATFORM_TENANT)
    own = listen(apps, tenant)
    for tenant_id in (tenant, other):
        with bound(environment["PATCHBAY_WORKER_URL"], tenant_id) as connection:
            write_changes(connection, tenant_id, 2)
            connection.commit()
        spread_all(apps, tenant_id)
    rows = owner.execute("SELECT tenant_id, subscription_id, count(*) FROM dispatches GROUP BY 1, 2").fetchall()
    assert sorted(rows, key=str) == sorted([(PLATFORM_TENANT, host, 4), (tenant, own, 2)], key=str)


def test_the_sequence_counts_up_for_each_record(
    apps: dict[str, Flask], environment: dict[str, str], owner: Owner, tenant: uuid.UUID
) -> None:
    listen(apps, tenant)
    record_id = uuid.uuid4()
    with bound(environment["PATCHBAY_WORKER_URL"], tenant) as connection:
        for number in range(3):
            write_changes(connection, tenant, 1 + number, record_id=record_id, operation="updated")
            write_changes(connection, tenant, 1)
            connection.commit()
            spread_all(apps, tenant)
    rows = owner.execute("SELECT sequence FROM dispatches WHERE subject_id = %s ORDER BY id", (record_id,)).fetchall()
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert owner.execute("SELECT max(sequence) FROM dispatches WHERE subject_id <> %s", (record_id,)).fetchone() == (1,)


def contacts(call: Call) -> Answer:
    """Answer as a Kinto with three contacts does."""
    if call.path.endswith("/collections/contacts/records"):
        rows = [
            {
                "id": f"c{n}",
                "last_modified": 1_700_000_000_000 + n,
                "email": f"c{n}@example.com",
                "name": f"Contact {n}",
            }
            for n in range(3)
        ]
        return 200, {"ETag": '"1"', "Total-Records": "3"}, {"data": rows}
    return good(call)


@pytest.mark.parametrize("listens", [False, True])
def test_the_pages_of_a_run_are_handed_on_where_somebody_listens(site: Site, owner: Owner, listens: bool) -> None:  # noqa: F811
    """The whole way: a run's own transaction, the wake-up at its commit, the task. Nothing of it where nobody listens."""
    site.vendor.answer = contacts
    tenant_id, _ = site.tenants[0]
    if listens:
        listen(site.apps, PLATFORM_TENANT, types=["record.created"])
    site.turn()
    assert owner.execute("SELECT count(*) FROM changes").fetchone() == (3,)
    state = owner.execute("SELECT DISTINCT fan_out FROM changes").fetchall()
    assert state == [("new",)] if listens else [("done",)]
    woken = owner.execute("SELECT tenant_id, state FROM tasks WHERE kind = 'fan_out'").fetchall()
    assert woken == ([(tenant_id, "ready")] if listens else [])
    spread_all(site.apps, tenant_id)
    sent = owner.execute("SELECT DISTINCT type, tenant_id FROM dispatches").fetchall()
    assert sent == ([("record.created", PLATFORM_TENANT)] if listens else [])
    if listens:
        body = orjson.loads(owner.execute("SELECT body FROM dispatches").fetchall()[0][0])
        assert body["tenant"]["id"] == str(tenant_id)
        assert body["data"]["changed"]["email"].endswith("@example.com")
        assert body["data"]["run_id"]
