"""How many records change: hours are counted once and whole, the present one when somebody looks."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import clock
from app.ids import first_at
from app.services import volumes
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.tasks import Lane
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]
NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)


@pytest.fixture
def at_noon() -> Iterator[None]:
    clock.replace_source(lambda: NOON)
    yield
    clock.replace_source(None)


def change(owner: Owner, tenant_id: uuid.UUID, at: datetime, operation: str = "updated", count: int = 1) -> None:
    """Write changes whose ids are of a moment."""
    first = first_at(at).int
    owner.cursor().executemany(
        "INSERT INTO changes (tenant_id, id, record_id, object_type, operation, writer, created_at) "
        "VALUES (%s, %s, gen_random_uuid(), 'contact', %s, 'A', %s)",
        [(tenant_id, uuid.UUID(int=first + uuid.uuid4().int % 2**60), operation, at) for _ in range(count)],
    )


def fold(apps: dict[str, Flask], tenant_id: uuid.UUID) -> int:
    with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        return volumes.fold(tenant_id)


def read(apps: dict[str, Flask], tenant_id: uuid.UUID, zone: str | None = None) -> volumes.Volumes:
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        return volumes.read(tenant_id, zone)


def rows(owner: Owner, tenant_id: uuid.UUID) -> list[tuple[Any, ...]]:
    return owner.execute(
        "SELECT hour, created, updated, deleted FROM volumes WHERE tenant_id = %s ORDER BY hour", (tenant_id,)
    ).fetchall()


def test_an_hour_is_counted_once_it_is_over(apps: dict[str, Flask], clean: None, owner: Owner, at_noon: None) -> None:
    tenant_id = make_tenant(apps)
    hour = NOON.replace(hour=9, minute=0)
    for operation in ("created", "updated", "linked", "restored", "deleted"):
        change(owner, tenant_id, hour + timedelta(minutes=5), operation)
    change(owner, tenant_id, hour + timedelta(minutes=60), "created")
    change(owner, tenant_id, NOON - timedelta(minutes=10))
    assert fold(apps, tenant_id) == 2
    expected = [(hour, 1, 3, 1), (hour + timedelta(hours=1), 1, 0, 0)]
    assert rows(owner, tenant_id) == expected
    assert fold(apps, tenant_id) == 0
    assert rows(owner, tenant_id) == expected
    assert read(apps, tenant_id).last_day == 7


def test_an_hour_waits_for_transactions_that_began_within_it(
    apps: dict[str, Flask], clean: None, owner: Owner, at_noon: None
) -> None:
    tenant_id = make_tenant(apps)
    change(owner, tenant_id, NOON.replace(hour=11, minute=59))
    clock.replace_source(lambda: NOON.replace(minute=4))
    assert fold(apps, tenant_id) == 0
    change(owner, tenant_id, NOON.replace(hour=11, minute=59))
    clock.replace_source(lambda: NOON.replace(minute=6))
    assert fold(apps, tenant_id) == 1
    assert rows(owner, tenant_id)[0][2] == 2


def test_days_are_those_of_the_viewer(apps: dict[str, Flask], clean: None, owner: Owner, at_noon: None) -> None:
    tenant_id = make_tenant(apps)
    # Half past eleven at night in London is the next morning in Tokyo.
    change(owner, tenant_id, NOON.replace(day=3, hour=23), count=2)
    change(owner, tenant_id, NOON - timedelta(minutes=3), count=3)
    fold(apps, tenant_id)
    assert [day.total for day in read(apps, tenant_id).days][-2:] == [2, 3]
    assert [day.total for day in read(apps, tenant_id, "Asia/Tokyo").days][-2:] == [0, 5]
    assert read(apps, tenant_id).last_week == 5
    assert read(apps, tenant_id).days[-1].day == NOON.date()


def test_what_is_not_counted_yet_is_counted_up_to_a_limit(
    apps: dict[str, Flask], clean: None, owner: Owner, at_noon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "LIVE_LIMIT", 10)
    tenant_id = make_tenant(apps)
    change(owner, tenant_id, NOON - timedelta(minutes=3), count=10)
    assert (read(apps, tenant_id).last_day, read(apps, tenant_id).over) == (10, False)
    change(owner, tenant_id, NOON - timedelta(minutes=2), count=10)
    assert (read(apps, tenant_id).last_day, read(apps, tenant_id).over) == (11, True)


def test_a_quiet_tenant_and_an_old_one(apps: dict[str, Flask], clean: None, owner: Owner, at_noon: None) -> None:
    tenant_id = make_tenant(apps)
    owner.execute(
        "INSERT INTO volumes (tenant_id, hour, created, updated, deleted) VALUES (%s, %s, 1, 1, 1)",
        (tenant_id, NOON - timedelta(days=60)),
    )
    assert read(apps, tenant_id).last_week == 0
    assert fold(apps, tenant_id) == 0
    assert rows(owner, tenant_id) == []


def test_the_worker_counts_for_all_tenants_and_none_sees_anothers(
    apps: dict[str, Flask], clean: None, owner: Owner, at_noon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    one, two = make_tenant(apps, "One"), make_tenant(apps, "Two")
    change(owner, one, NOON - timedelta(hours=2), count=1)
    change(owner, two, NOON - timedelta(hours=2), count=4)
    Lane(apps, owner).add(PLATFORM_TENANT, "hourly", "send", "fold_volumes")
    assert drain_module.drain("send") == 1
    assert [row[2] for row in rows(owner, one)] == [1]
    assert [row[2] for row in rows(owner, two)] == [4]
    assert read(apps, one).last_week == 1
    with apps["web"].app_context(), bind_tenant(one), transaction():
        assert volumes.read(two, None).last_week == 0
