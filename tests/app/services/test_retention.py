"""Retention: each rule takes what is past its time and leaves the rest, of one tenant at a time."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.ids import first_at
from app.services import retention
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.tasks import Lane
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]


@dataclass
class Site:
    """A tenant with one installation, whose rows are as old as the test says."""

    apps: dict[str, Flask]
    owner: Owner
    tenant_id: uuid.UUID
    installation_id: uuid.UUID

    def put(self, table: str, **values: Any) -> uuid.UUID:
        """Insert a row and return its id."""
        values = {"id": uuid.uuid4(), "tenant_id": self.tenant_id, **values}
        places = ", ".join("%s" for _ in values)
        self.owner.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", list(values.values()))
        found: uuid.UUID = values["id"]
        return found

    def prune(self) -> int:
        """Prune the tenant once, as the worker does."""
        with self.apps["worker"].app_context(), bind_tenant(self.tenant_id), transaction():
            return retention.prune_tenant(self.tenant_id)

    def left(self, table: str) -> set[uuid.UUID]:
        """Return the ids that are still there."""
        rows = self.owner.execute(f"SELECT id FROM {table} WHERE tenant_id = %s", (self.tenant_id,)).fetchall()
        return {row[0] for row in rows}

    def run(self, state: str, age: timedelta) -> uuid.UUID:
        """Insert a run with one stream and a page of its pass."""
        run_id = self.put(
            "runs", installation_id=self.installation_id, listing_version_id=uuid.uuid4(), trigger="manual", state=state,
            created_at=datetime.now(UTC) - age,
        )  # fmt: skip
        stream_id = self.put(
            "run_streams", run_id=run_id, stream="contacts", position=0, mode="full", pass_id=uuid.uuid4(), mapping_version=1
        )  # fmt: skip
        self.owner.execute("INSERT INTO pass_pages VALUES (%s, %s, 1, '{a}')", (self.tenant_id, stream_id))
        return run_id


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner) -> Site:
    return make_site(apps, owner)


def make_site(apps: dict[str, Flask], owner: Owner) -> Site:
    tenant_id = make_tenant(apps)
    with apps["web"].app_context():
        installation_id = connect_kinto(tenant_id, "http://127.0.0.1:1", "password")
    owner.execute("DELETE FROM tasks")
    return Site(apps, owner, tenant_id, installation_id)


def ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


@pytest.mark.parametrize("state", ["done", "failed", "stopped"])
def test_runs_that_ended_long_ago_go_with_their_streams_and_pages(site: Site, state: str) -> None:
    site.run(state, timedelta(days=90, hours=1))
    kept = site.run(state, timedelta(days=89, hours=23))
    assert site.prune() == 1
    assert site.left("runs") == {kept}
    assert (len(site.left("run_streams")), site.owner.execute("SELECT count(*) FROM pass_pages").fetchone()) == (
        1,
        (1,),
    )


@pytest.mark.parametrize("state", ["queued", "running", "asking"])
def test_a_run_under_way_is_never_too_old(site: Site, state: str) -> None:
    kept = site.run(state, timedelta(days=500))
    assert site.prune() == 0
    assert site.left("runs") == {kept}


def test_changes_go_by_the_time_in_their_id(site: Site) -> None:
    values = {"record_id": uuid.uuid4(), "object_type": "contact", "operation": "created", "writer": "sync"}
    site.put("changes", **values, id=first_at(ago(90.1)), created_at=ago(0))
    kept = site.put("changes", **values, id=first_at(ago(89.9)), created_at=ago(200))
    assert site.prune() == 1
    assert site.left("changes") == {kept}


def test_exchanges_go(site: Site) -> None:
    values = {"method": "GET", "url": "https://crm.example.com", "ms": 1}
    site.put("exchanges", **values, created_at=ago(14.1))
    kept = site.put("exchanges", **values, created_at=ago(13.9))
    assert site.prune() == 1
    assert site.left("exchanges") == {kept}


def test_tasks_go_once_they_have_ended(site: Site) -> None:
    def task(key: str, state: str, finished_at: datetime | None) -> uuid.UUID:
        return site.put(
            "tasks", lane="sync", kind="sync", key=key, state=state, finished_at=finished_at, due_at=ago(50), created_at=ago(50)
        )  # fmt: skip

    for state in ("done", "parked", "dead", "cancelled"):
        task(state, state, ago(3.1))
    kept = {task("new", "done", ago(2.9)), task("ready", "ready", None), task("leased", "leased", None)}
    assert site.prune() == 4
    assert site.left("tasks") == kept


def test_mail_goes(site: Site) -> None:
    values = {"recipient": "a@example.com", "subject": "s", "template": "verify"}
    site.put("mails", **values, state="sent", created_at=ago(14.1))
    kept = site.put("mails", **values, state="sent", created_at=ago(13.9))
    assert site.prune() == 1
    assert site.left("mails") == {kept}


def test_previews_and_authorisations_go_when_they_expire(site: Site) -> None:
    for table, values in {
        "previews": {"installation_id": site.installation_id, "kind": "sample"},
        "oauth_states": {
            "session_id": uuid.uuid4(), "user_id": uuid.uuid4(), "installation_id": site.installation_id,
            "connection_id": site.left("connections").pop(), "connector": "kinto", "redirect_uri": "", "verifier_sealed": b"",
        },
    }.items():  # fmt: skip
        kept = None
        for age in (0.001, -0.001):
            if table == "oauth_states":
                values["state_hash"] = uuid.uuid4().bytes
            kept = site.put(table, **values, expires_at=ago(age))
        assert site.prune() == 1
        assert site.left(table) == {kept}


def test_failed_records_stay_and_lose_their_payload(site: Site) -> None:
    values = {"installation_id": site.installation_id, "stream": "contacts", "code": "invalid", "message": "m"}
    old = site.put("failed_records", **values, external_id="1", payload_sealed=b"x", payload_until=ago(0.001))
    new = site.put("failed_records", **values, external_id="2", payload_sealed=b"x", payload_until=ago(-0.001))
    site.prune()
    rows = dict(site.owner.execute("SELECT id, payload_sealed FROM failed_records").fetchall())
    assert rows == {old: None, new: b"x"}


def test_nothing_of_another_tenant_goes(site: Site) -> None:
    other = make_site(site.apps, site.owner)
    kept, gone = other.run("done", timedelta(days=100)), site.run("done", timedelta(days=100))
    assert site.prune() == 1
    assert (site.left("runs"), other.left("runs")) == (set(), {kept})
    assert gone != kept
    with site.apps["worker"].app_context(), bind_tenant(site.tenant_id), transaction():
        assert retention.prune_tenant(other.tenant_id) == 0


def test_the_settings_decide(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = site.apps["worker"].extensions["settings"].model_copy(update={"keep_runs_days": 200})
    monkeypatch.setitem(site.apps["worker"].extensions, "settings", settings)
    kept = site.run("done", timedelta(days=199))
    site.run("done", timedelta(days=201))
    assert site.prune() == 1
    assert site.left("runs") == {kept}


def test_the_daily_task_prunes_every_tenant_in_batches(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    monkeypatch.setattr(drain_module, "worker_app", lambda: site.apps["worker"])
    sites = [site, make_site(site.apps, site.owner)]
    for each in sites:
        for _ in range(8):
            each.run("done", timedelta(days=100))
    assert site.prune() == 3
    lane = Lane(site.apps, site.owner)
    lane.add(PLATFORM_TENANT, "daily", lane="send", kind="prune")
    assert drain_module.drain("send") == 1
    assert [each.left("runs") for each in sites] == [set(), set()]
    assert lane.count("kind = 'prune' AND state = 'done'") == 1
