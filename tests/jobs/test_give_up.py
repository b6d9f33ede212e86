"""A run whose task is dead ends with a reason, however the task died."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import runs, tasks
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from jobs import kinds
from tests.jobs.test_connections import Site, Vendor

Owner = psycopg.Connection[Any]


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Any:
    vendor = Vendor()
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    found = Site(apps, vendor, owner)
    found.authorise()
    with apps["web"].app_context(), bind_tenant(found.tenant_id), transaction():
        from app.services import installations

        installations.activate(found.tenant_id, found.installation_id, user_id=uuid.uuid4())
    yield found
    vendor.stop()


def _state(owner: Owner) -> tuple[Any, ...]:
    row = owner.execute("SELECT state, error_code FROM runs").fetchone()
    assert row is not None
    return tuple(row)


def test_after_the_last_failed_try(site: Site, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red without the task of its own: the run stays queued for ever."""
    monkeypatch.setitem(kinds.KINDS, "sync", "tests.jobs.test_give_up:broken")
    owner.execute("UPDATE tasks SET max_attempts = 1 WHERE kind = 'sync'")
    drain_module.drain("sync")
    assert _state(owner) == ("queued", None)
    drain_module.drain("fast")
    assert _state(owner) == ("failed", "gave_up")
    assert owner.execute("SELECT count(*) FROM problems WHERE code = 'gave_up'").fetchone() == (1,)


def test_after_the_last_lost_worker(site: Site, owner: Owner) -> None:
    with site.apps["worker"].app_context(), transaction():
        assert tasks.claim("sync", "lost") is not None
    owner.execute("UPDATE tasks SET attempts = max_attempts, lease_until = now() WHERE kind = 'sync'")
    with site.apps["dispatcher"].app_context(), transaction():
        assert tasks.sweep() == 1
    drain_module.drain("fast")
    assert _state(owner) == ("failed", "gave_up")


def test_a_run_that_was_asked_for_again_goes_on(site: Site, owner: Owner) -> None:
    owner.execute("UPDATE tasks SET state = 'dead' WHERE kind = 'sync'")
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        tasks.add_task(site.tenant_id, "fast", "give_up", str(site.installation_id), ref=site.installation_id)
        runs.queue_sync(site.tenant_id, site.installation_id)
    drain_module.drain("fast")
    assert _state(owner) == ("queued", None)
    drain_module.drain("sync")
    assert _state(owner) == ("done", None)


def broken(_task: Any, _slice: Any) -> Any:
    raise RuntimeError("a fault of ours")
