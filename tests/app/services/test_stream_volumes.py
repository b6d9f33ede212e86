"""What moved in 30 days is the same whether days were counted before or are counted now, and each counts once."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import clock
from app.ids import first_at
from app.services import stream_volumes
from app.services.stream_volumes import Moved
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.tasks import Lane
from tests.factories.tenants import activate, connect_kinto, make_tenant

NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)


class Site:
    """An active installation with its runs and writes of a month."""

    def __init__(self, apps: dict[str, Flask], owner: psycopg.Connection[Any]) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
            owner.execute("UPDATE connections SET state = 'ready', account_id = id::text, account_name = 'A'")
            activate(self.tenant_id, self.installation_id)
        owner.execute("DELETE FROM runs")

    def run(self, at: datetime, *, state: str = "done", created: int = 1) -> uuid.UUID:
        run_id = uuid.UUID(int=first_at(at).int + uuid.uuid4().int % 2**60)
        self.owner.execute(
            "INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state, created_at) SELECT "
            "tenant_id, %s, id, listing_version_id, 'schedule', %s, %s FROM installations WHERE id = %s",
            (run_id, state, at, self.installation_id),
        )
        self.owner.execute(
            "INSERT INTO run_streams (tenant_id, id, run_id, stream, position, mode, pass_id, mapping_version, state, "
            "read, pages, created, updated, linked) VALUES (%s, gen_random_uuid(), %s, 'contacts', 0, 'full', "
            "gen_random_uuid(), 1, 'done', 10, 2, %s, 1, 1)",
            (self.tenant_id, run_id, created),
        )
        return run_id

    def wrote(self, at: datetime, operation: str, state: str = "confirmed") -> None:
        self.owner.execute(
            "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, state, operation, settled_at) "
            "VALUES (%s, gen_random_uuid(), %s, 'contacts', gen_random_uuid(), %s, %s, %s)",
            (self.tenant_id, self.installation_id, state, operation, at),
        )

    def fold(self) -> int:
        with self.apps["worker"].app_context(), bind_tenant(self.tenant_id), transaction():
            return stream_volumes.fold(self.tenant_id)

    def read(self, installation_id: uuid.UUID | None = None) -> dict[str, Moved]:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return stream_volumes.read(self.tenant_id, installation_id or self.installation_id)

    def days(self) -> list[date]:
        query = "SELECT day FROM stream_volumes WHERE stream = 'contacts' AND tenant_id = %s ORDER BY day"
        return [row[0] for row in self.owner.execute(query, (self.tenant_id,))]


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any]) -> Iterator[Site]:
    made = Site(apps, owner)
    clock.replace_source(lambda: NOON)
    yield made
    clock.replace_source(None)


def test_days_counted_before_and_now_say_the_same(site: Site) -> None:
    for days in (0, 1, 1, 7, 29, 31):
        site.run(NOON - timedelta(days=days), created=3)
        site.wrote(NOON - timedelta(days=days), "update")
    site.wrote(NOON - timedelta(days=2), "create")
    site.wrote(NOON - timedelta(days=2), "delete")
    site.wrote(NOON - timedelta(days=2), "update", "rejected")
    expected = Moved(
        created=15, updated=10, deleted=0, read=50, pages=10, written_create=1, written_update=5, written_delete=1
    )
    assert site.read() == {"contacts": expected}
    assert site.fold() == 60  # two streams, 30 days
    assert site.read()["contacts"] == expected
    assert site.fold() == 0
    assert site.read()["contacts"] == expected


def test_a_day_that_is_counted_is_not_read_again(site: Site) -> None:
    site.run(NOON - timedelta(days=3))
    site.fold()
    site.owner.execute("UPDATE run_streams SET created = 1000")
    assert site.read()["contacts"].created == 1


def test_a_run_that_goes_on_holds_its_day_and_those_after_it(site: Site) -> None:
    long_one = site.run(NOON - timedelta(days=3), state="running")
    site.run(NOON - timedelta(days=2))
    site.fold()
    assert site.days()[-1] == (NOON - timedelta(days=4)).date()
    site.owner.execute("UPDATE run_streams SET created = 9 WHERE run_id = %s", (long_one,))
    assert site.read()["contacts"].created == 10
    site.owner.execute("UPDATE runs SET state = 'done'")
    site.fold()
    assert site.days()[-1] == (NOON - timedelta(days=1)).date()
    assert site.read()["contacts"].created == 10


def test_yesterday_waits_for_transactions_that_began_in_it(site: Site) -> None:
    clock.replace_source(lambda: NOON.replace(hour=0, minute=4))
    site.fold()
    assert site.days()[-1] == date(2026, 3, 29)
    clock.replace_source(lambda: NOON.replace(hour=0, minute=6))
    site.fold()
    assert site.days()[-1] == date(2026, 3, 30)


def test_days_leave_after_thirty(site: Site) -> None:
    site.fold()
    clock.replace_source(lambda: NOON + timedelta(days=2))
    site.fold()
    assert (site.days()[0], site.days()[-1], len(site.days())) == (date(2026, 3, 3), date(2026, 4, 1), 30)


def test_a_worker_counts_the_days_of_all_tenants(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "worker_app", lambda: site.apps["worker"])
    Lane(site.apps, site.owner).add(PLATFORM_TENANT, "hourly", "send", "fold_volumes")
    assert drain_module.drain("send") == 1
    assert len(site.days()) == 30


def test_no_tenant_sees_anothers(site: Site) -> None:
    site.run(NOON - timedelta(days=3))
    site.fold()
    mine = site.installation_id
    other = make_tenant(site.apps, "Other")
    with site.apps["web"].app_context(), bind_tenant(other), transaction():
        assert stream_volumes.read(site.tenant_id, mine) == {}
        assert stream_volumes.read(other, mine) == {}
