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


def test_the_count_of_events_goes_with_what_it_is_about(site: Site) -> None:
    """Records stay, marked as deleted, and may come back: their count goes on."""
    gone, kept = site.run("done", timedelta(days=91)), site.run("done", timedelta(days=1))
    for subject in (gone, kept, site.installation_id):
        site.owner.execute("INSERT INTO event_sequences VALUES (%s, %s, 3)", (site.tenant_id, subject))
    assert site.prune() == 1
    left = site.owner.execute("SELECT subject_id FROM event_sequences").fetchall()
    assert {row[0] for row in left} == {kept, site.installation_id}


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


def test_invitations_go_once_they_have_been_used_or_have_expired(site: Site) -> None:
    def invitation(accepted: float | None, expires: float) -> uuid.UUID:
        return site.put(
            "invitations", email="a@example.com", role="member", token_hash=uuid.uuid4().bytes, invited_by=uuid.uuid4(),
            accepted_at=None if accepted is None else ago(accepted), expires_at=ago(expires), created_at=ago(100),
        )  # fmt: skip

    invitation(30.1, -1), invitation(None, 30.1)
    kept = {invitation(29.9, 29), invitation(None, 29.9), invitation(None, -1)}
    assert site.prune() == 2
    assert site.left("invitations") == kept


def test_problems_conflicts_and_failed_records_go_once_they_are_over(site: Site) -> None:
    common = {"installation_id": site.installation_id, "created_at": ago(500)}
    record = {**common, "stream": "contacts"}
    cases: list[tuple[str, dict[str, Any], str, str, float]] = [
        ("problems", {**common, "signature": "s", "code": "c", "message": "m"}, "closed", "closed_at", 90),
        ("conflicts", {**record, "kind": "match"}, "settled", "settled_at", 90),
        ("failed_records", {**record, "code": "c", "message": "m"}, "resolved", "resolved_at", 30),
    ]
    for table, values, state, column, days in cases:
        kept = set()
        for number, over in enumerate((days + 0.1, days - 0.1, None)):
            if table != "problems":
                values["external_id"] = str(number)
            more = {"state": state, column: ago(over)} if over else {}
            row = site.put(table, **values, **more)
            if number:
                kept.add(row)
        assert site.prune() == 1, table
        assert site.left(table) == kept, table


def test_sessions_and_links_that_ended_go_with_the_platforms_own_work(site: Site, owner: Owner) -> None:
    user_id = uuid.uuid4()
    owner.execute(
        "INSERT INTO users (id, email, name, password_hash) VALUES (%s, 'a@example.com', 'A', '')", (user_id,)
    )

    def session(name: str, expires: float, seen: float) -> None:
        owner.execute(
            "INSERT INTO sessions (id, token_hash, user_id, expires_at, seen_at, user_agent) "
            "VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)", (name.encode(), user_id, ago(expires), ago(seen), name),
        )  # fmt: skip

    idle = site.apps["worker"].extensions["settings"].session_idle_minutes / 1440
    session("expired", 7.1, 7.1)
    session("left lying", -5, 7.1 + idle)
    session("just ended", 6.9, 6.9)
    session("just left", -5, 6.9 + idle)
    session("live", -5, 0)
    for expires in (7.1, 6.9, -1):
        owner.execute(
            "INSERT INTO user_tokens (id, user_id, purpose, token_hash, expires_at) "
            "VALUES (gen_random_uuid(), %s, 'verify_email', %s, %s)", (user_id, str(expires).encode(), ago(expires)),
        )  # fmt: skip
    assert site.prune() == 0, "a tenant's pruning takes nobody's sessions"
    site.tenant_id = PLATFORM_TENANT
    assert site.prune() == 3
    assert {row[0] for row in owner.execute("SELECT user_agent FROM sessions")} == {"just ended", "just left", "live"}
    assert {row[0] for row in owner.execute("SELECT token_hash FROM user_tokens")} == {b"6.9", b"-1"}


def test_a_slice_that_is_over_goes_on_with_the_next_tenant(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when each slice begins with the first tenant again: the last ones would never have their turn."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: site.apps["worker"])
    monkeypatch.setattr(drain_module.Slice, "over", lambda _: True)
    monkeypatch.setattr(retention, "BATCH", 3)
    sites = [site, *(make_site(site.apps, site.owner) for _ in range(3))]
    for each in sites:
        each.run("done", timedelta(days=100))
    for _ in range(4):
        max(sites, key=lambda each: each.tenant_id).run("done", timedelta(days=100))
    seen: list[uuid.UUID] = []
    real = retention.prune_tenant
    monkeypatch.setattr(retention, "prune_tenant", lambda tenant_id: (seen.append(tenant_id), real(tenant_id))[1])
    lane = Lane(site.apps, site.owner)
    lane.add(PLATFORM_TENANT, "daily", lane="send", kind="prune")
    drain_module.drain("send")
    order = sorted(each.tenant_id for each in sites)
    assert seen == [PLATFORM_TENANT, *order, order[-1]]
    assert [each.left("runs") for each in sites] == [set()] * 4
    assert lane.count("kind = 'prune' AND state = 'done'") == 1


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


def test_writes_are_kept_as_long_as_the_journal_and_what_waits_for_somebody_longer(site: Site) -> None:
    def write(state: str, age: float | None) -> uuid.UUID:
        return site.put(
            "intents", installation_id=site.installation_id, stream="contacts", record_id=uuid.uuid4(), state=state,
            settled_at=ago(age) if age else None,
        )  # fmt: skip

    old = [write(state, 91) for state in ("confirmed", "rejected", "dropped")]
    kept = {write("parked", 91), write("planned", None), *(write(state, 89) for state in ("confirmed", "rejected"))}
    site.prune()
    assert site.left("intents") == kept
    assert not kept & set(old)
