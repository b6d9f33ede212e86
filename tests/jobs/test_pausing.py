"""What an installation does by itself when its runs go on failing, and when its data gets old; by the real engine."""

import uuid
from typing import Any

import psycopg
from flask import Flask

from app.services import fleet, installations, runs
from app.services.fleet import Filters
from app.services.stream_settings import StreamSettings
from app.sync.retry import PAUSE_AFTER, WARN_AFTER
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs.dispatcher import Dispatcher
from tests.factories.people import make_staff
from tests.jobs.sites import Site, good, status

Owner = psycopg.Connection[Any]


def run(site: Site) -> None:
    site.act(lambda tenant_id, installation_id: runs.start_run(tenant_id, installation_id, trigger="manual"))
    site.turn()


def problems(site: Site) -> dict[str, str]:
    return dict(site.owner.execute("SELECT code, message FROM problems WHERE state = 'open'").fetchall())


def test_ten_failed_runs_in_a_row_pause_it_and_people_are_told_before_and_after(site: Site) -> None:
    site.vendor.answer = status(418)
    site.turn()
    for count in range(1, PAUSE_AFTER):
        assert site.ask("SELECT state, failures_in_row FROM installations") == ("active", count)
        assert ("pause_ahead" in problems(site)) == (count >= WARN_AFTER)
        if count >= WARN_AFTER:
            assert f"After {PAUSE_AFTER - count} more the sync pauses by itself." in problems(site)["pause_ahead"]
        run(site)
    assert site.ask("SELECT state, paused_reason FROM installations") == (
        "paused", "Paused by itself after 10 failed runs in a row."
    )  # fmt: skip
    assert site.ask("SELECT status FROM installation_status") == ("paused",)
    assert set(problems(site)) == {"vendor_refused", "paused_by_itself"}
    assert problems(site)["paused_by_itself"].endswith("The last one: Kinto refused the call (418).")


def pause_by_failing(site: Site) -> None:
    site.vendor.answer = status(418)
    site.owner.execute("UPDATE installations SET failures_in_row = %s", (PAUSE_AFTER - 1,))
    site.turn()
    assert site.ask("SELECT state FROM installations") == ("paused",)


def test_what_has_paused_itself_wakes_no_worker(site: Site, apps: dict[str, Flask], owner: Owner) -> None:
    pause_by_failing(site)
    assert site.ask("SELECT active, next_due_at FROM schedules") == (False, None)
    with apps["dispatcher"].app_context():
        Dispatcher(apps["dispatcher"]).tick()
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'sync' AND state = 'ready'").fetchone() == (0,)


def test_resuming_begins_anew_and_a_run_that_works_closes_the_rest(site: Site) -> None:
    pause_by_failing(site)
    site.vendor.answer = good
    site.act(lambda tenant_id, installation_id: installations.resume(tenant_id, installation_id, user_id=tenant_id))
    assert site.ask("SELECT state, failures_in_row FROM installations") == ("active", 0)
    assert set(problems(site)) == {"vendor_refused"}, "only a real call proves that it works"
    site.turn()
    assert problems(site) == {}
    assert site.ask("SELECT status FROM installation_status") == ("healthy",)
    assert site.ask("SELECT active FROM schedules") == (True,)


def test_what_kept_a_stream_from_being_read_is_over_once_it_is_read(site: Site) -> None:
    """Also in a run that fails at another stream."""

    def refuse(part: str, code: int) -> None:
        site.vendor.answer = lambda call: (code, {}, {}) if part in call.path else good(call)

    refuse("contacts", 403)
    site.turn()
    assert site.ask("SELECT state FROM runs") == ("done",)
    assert set(problems(site)) == {"permission_missing"}
    refuse("companies", 418)
    run(site)
    assert set(problems(site)) == {"vendor_refused"}


def words(site: Site, apps: dict[str, Flask]) -> tuple[str, str]:
    """The status on the installation's own page, and in the fleet."""
    own = site.act(lambda tenant_id, installation_id: installations.get_overview(tenant_id, installation_id).status)
    with apps["web"].app_context(), bind_tenant(None, make_staff(apps, "support")), transaction():
        (row,) = fleet.list_statuses(Filters())
        (found,) = [word for word in ("healthy", "late") if fleet.list_statuses(Filters(status=word))]
    assert row.word == found
    return own, found


def test_it_is_late_when_the_last_success_is_older_than_promised(
    site: Site, apps: dict[str, Flask], owner: Owner
) -> None:
    """Whatever the schedule has fired since: 15 minutes are promised, 5 are given."""
    assert words(site, apps) == ("healthy", "healthy"), "a first load takes the time it takes"
    site.turn()
    assert words(site, apps) == ("healthy", "healthy")
    assert site.ask("SELECT late_at - last_success_at = interval '20 min' FROM installation_status") == (True,)
    age(owner, minutes=21)
    assert words(site, apps) == ("late", "late")
    site.act(lambda tenant_id, installation_id: runs.start_run(tenant_id, installation_id, trigger="manual"))
    assert words(site, apps) == ("late", "late"), "a run that only waits makes nothing fresh"
    site.turn()
    assert words(site, apps) == ("healthy", "healthy")


def test_a_promise_counts_from_its_own_beginning(site: Site, apps: dict[str, Flask], owner: Owner) -> None:
    site.turn()
    age(owner, minutes=600)
    assert words(site, apps) == ("late", "late")
    site.act(installations.pause)
    site.act(lambda tenant_id, installation_id: installations.resume(tenant_id, installation_id, user_id=tenant_id))
    assert words(site, apps) == ("healthy", "healthy")
    age(owner, minutes=21)
    assert words(site, apps) == ("late", "late")
    site.act(lambda *ids: configure(*ids, "hourly"))
    age(owner, minutes=65)
    assert words(site, apps) == ("healthy", "healthy")
    site.act(lambda *ids: configure(*ids, "hourly"))
    age(owner, minutes=2)
    assert words(site, apps) == ("late", "late"), "the same rhythm again is no new promise"
    site.act(lambda *ids: configure(*ids, "manual"))
    assert words(site, apps) == ("healthy", "healthy")
    site.act(lambda *ids: configure(*ids, "interval"))
    assert site.ask("SELECT active, promised_at IS NULL FROM schedules") == (True, False)


def configure(tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str) -> None:
    installations.configure(
        tenant_id, installation_id, name="Kinto", kind=kind, minutes=15, at=None, zone="UTC", settings={}, user_id=None,
        streams={"contacts": StreamSettings(), "companies": StreamSettings()},
    )  # fmt: skip


def age(owner: Owner, *, minutes: int) -> None:
    """Let time pass."""
    for table, columns in (
        ("installations", ("last_success_at",)), ("schedules", ("promised_at",)),
        ("installation_status", ("last_success_at", "late_at")),
    ):  # fmt: skip
        for column in columns:
            owner.execute(f"UPDATE {table} SET {column} = {column} - interval '{minutes} min'")
