"""The fleet: written with each change of status, read across tenants by staff and by nobody else."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from app.db import db
from app.models.runs import Run
from app.services import (
    failed_records,
    fleet,
    installations,
    listings,
    page_writes,
    pages,
    passes,
    problems,
    runs,
)
from app.services.fleet import Cause, Filters
from app.sync.retry import Decision
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import AuthError, Checkpoint, Page, Rejected, UnavailableError
from tests.factories.people import make_staff
from tests.factories.tasks import Lane
from tests.factories.tenants import connect_kinto, make_tenant
from tests.processes import wait_for

Owner = psycopg.Connection[Any]


class Site:
    """A tenant with an installation whose connection works."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, name: str = "Aldgate") -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps, name)
        with apps["web"].app_context():
            self.id = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
        owner.execute("UPDATE connections SET state = 'ready', account_id = tenant_id::text, tested_at = now()")

    def act(self, what: Callable[[], Any], *, process: str = "web") -> Any:
        """Return what `what` answers, in a transaction of its own."""
        with self.apps[process].app_context(), bind_tenant(self.tenant_id), transaction():
            return what()

    def activate(self) -> None:
        self.act(lambda: installations.activate(self.tenant_id, self.id, user_id=uuid.uuid4()))

    def with_run(self, what: Callable[[Run], Any]) -> None:
        """Begin a run as a worker does, then end it."""
        self.owner.execute("UPDATE runs SET state = 'done' WHERE state = 'asking'")
        run = self.act(lambda: runs.begin(self.tenant_id, self.id), process="worker")
        self.act(lambda: what(runs.get_run(self.tenant_id, run.id)), process="worker")

    def row(self) -> tuple[Any, ...]:
        rows = self.owner.execute(
            "SELECT status, signature FROM installation_status WHERE tenant_id = %s AND id = %s",
            (self.tenant_id, self.id),
        ).fetchall()
        assert len(rows) < 2
        return rows[0] if rows else ()

    def fail_record(self) -> uuid.UUID:
        failed_id = uuid.uuid4()
        self.owner.execute(
            "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, code, message) "
            "VALUES (%s, %s, %s, 'contacts', %s, 'invalid', 'm')", (self.tenant_id, failed_id, self.id, str(failed_id)),
        )  # fmt: skip
        return failed_id


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner) -> Site:
    return Site(apps, owner)


def test_each_change_is_written_with_what_changed(site: Site, owner: Owner) -> None:
    tenant_id, installation_id = site.tenant_id, site.id
    assert site.row() == ("setting_up", None)
    site.activate()
    assert site.row() == ("healthy", None)
    down = UnavailableError("It is down.")
    site.with_run(lambda run: runs.fail(tenant_id, run, Decision("fail", "vendor_down", 0), down))
    assert site.row() == ("failing", "vendor_down")
    site.with_run(lambda run: runs.finish(tenant_id, run))
    assert site.row() == ("healthy", None)
    assert owner.execute("SELECT last_success_at > now() - interval '1 min' FROM installation_status").fetchone() == (
        True,
    )
    site.with_run(lambda run: runs.ask(tenant_id, run, {"kind": "deletes", "candidates": 9, "live": 10}))
    assert site.row() == ("action_needed", "deletes_ask")
    site.with_run(lambda run: runs.fail(tenant_id, run, Decision("block", "reconnect", 0), AuthError("Gone.")))
    assert site.row() == ("action_needed", "reconnect")
    owner.execute("UPDATE installations SET blocked_code = NULL, failures_in_row = 0")
    site.act(lambda: problems.close_run_problems(tenant_id, installation_id))
    site.act(lambda: problems.close(tenant_id, installation_id, "deletes_ask", by="decided"))
    assert site.row() == ("healthy", None)
    site.act(lambda: installations.pause(tenant_id, installation_id))
    assert site.row() == ("paused", None)
    site.act(lambda: installations.resume(tenant_id, installation_id, user_id=uuid.uuid4()))
    assert site.row() == ("healthy", None)
    site.act(lambda: installations.remove(tenant_id, installation_id, delete_records=False))
    assert site.row() == ()


def test_records_left_out_make_it_incomplete_until_they_are_ignored(site: Site) -> None:
    site.activate()
    failed_id = site.fail_record()
    site.with_run(lambda run: runs.finish(site.tenant_id, run))
    assert site.row() == ("incomplete", "records:contacts:invalid:")
    site.act(lambda: failed_records.ignore(site.tenant_id, failed_id))
    assert site.row() == ("healthy", None)


def test_what_is_rolled_back_leaves_the_status_as_it_was(site: Site) -> None:
    site.activate()

    def broken() -> None:
        installations.pause(site.tenant_id, site.id)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        site.act(broken)
    assert site.row() == ("healthy", None)


def test_the_time_of_the_change_stays_while_only_the_success_is_new(site: Site, owner: Owner) -> None:
    site.activate()
    query = "SELECT changed_at, last_success_at FROM installation_status"
    first = owner.execute(query).fetchone()
    site.with_run(lambda run: runs.finish(site.tenant_id, run))
    second = owner.execute(query).fetchone()
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert first[1] is None
    assert second[1] is not None


def test_two_changes_at_once_end_with_the_status_that_is_true(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One has counted, then the other is done. Red without the lock before the counting: it would write what was."""
    site.activate()
    real, others = fleet._read, []

    def waits() -> bool:
        row = site.owner.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
        return row != (0,)

    def read(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Any:
        row = real(tenant_id, installation_id)
        if not others:
            others.append(pool.submit(lambda: site.act(lambda: installations.pause(tenant_id, installation_id))))
            wait_for(lambda: others[0].done() or waits())
        return row

    monkeypatch.setattr(fleet, "_read", read)
    with ThreadPoolExecutor(1) as pool:
        site.act(lambda: problems.open_problem(site.tenant_id, site.id, "vendor_down", "Down.", "Wait."))
        others[0].result()
    assert site.row() == ("paused", "vendor_down")


def test_a_page_with_records_left_out_shows_before_the_run_has_ended(site: Site, apps: dict[str, Flask]) -> None:
    site.activate()
    task = Lane(apps, site.owner).take()
    page = Page(
        (), (), Checkpoint.start("incremental", None), last=True, rejected=(Rejected("1", {}, "It has no id."),)
    )
    with apps["worker"].app_context(), bind_tenant(site.tenant_id):
        with transaction():
            installation = runs.get_installation(site.tenant_id, site.id)
            manifest = listings.manifest_of(installation.listing_version_id)
            context = passes.open_context(site.tenant_id, installation, "contacts", manifest)
        prepared = pages.prepare(context, [page], map_all=True)
        with transaction():
            sql, _, news = page_writes.open_page(task, None, context, prepared.hashes)
            pages.apply_pages(sql, context, prepared, news)
    assert site.row() == ("incomplete", None)


def read(
    apps: dict[str, Flask], user_id: uuid.UUID | None, filters: Filters | None = None, process: str = "web"
) -> list[str]:
    with apps[process].app_context(), bind_tenant(None, user_id), transaction():
        return [row.tenant_name for row in fleet.list_statuses(filters or Filters())]


def test_support_and_operators_see_all_tenants_and_nobody_else_does(site: Site, apps: dict[str, Flask]) -> None:
    Site(apps, site.owner, "Brightwater")
    for role, seen in (("support", 2), ("operator", 2), ("reviewer", 0), (None, 0)):
        assert len(read(apps, make_staff(apps, role))) == seen, role
    assert read(apps, None) == []
    assert read(apps, make_staff(apps, "support"), process="worker") == [], "the policy is the web's"


def test_staff_cannot_write_what_they_see(site: Site, apps: dict[str, Flask]) -> None:
    user_id = make_staff(apps, "support")
    with apps["web"].app_context(), bind_tenant(None, user_id), transaction():
        for statement in ("UPDATE installation_status SET status = 'paused'", "DELETE FROM installation_status"):
            assert db.session.execute(text(statement)).rowcount == 0  # type: ignore[attr-defined]
    assert site.row() == ("setting_up", None)


def test_the_list_is_narrowed_and_errors_are_counted(site: Site, apps: dict[str, Flask]) -> None:
    other = Site(apps, site.owner, "Brightwater 100%")
    for each in (site, other):
        each.activate()
        each.act(lambda each=each: problems.open_problem(each.tenant_id, each.id, "vendor_down", "Down.", "Wait."))
    other.act(lambda: installations.pause(other.tenant_id, other.id))
    user_id = make_staff(apps, "support")
    assert read(apps, user_id, Filters(tenant="100%")) == ["Brightwater 100%"]
    assert read(apps, user_id, Filters(status="paused")) == ["Brightwater 100%"]
    assert read(apps, user_id, Filters(connector="kinto", signature="vendor_down")) == ["Brightwater 100%", "Aldgate"]
    assert read(apps, user_id, Filters(version="0.0.0")) == read(apps, user_id, Filters(connector="other")) == []
    with apps["web"].app_context(), bind_tenant(None, user_id), transaction():
        first = fleet.list_statuses(Filters(), limit=1)
        rest = fleet.list_statuses(Filters(), before=first[-1].id)
        assert [row.tenant_name for row in (*first, *rest)] == ["Brightwater 100%", "Aldgate"]
        assert fleet.list_causes() == [Cause("vendor_down", "kinto", 2, 2)]
