"""Dry runs by the real worker function against a running Sandbox CRM, which says how many records it has."""

from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db import db
from app.models.installations import InstallationStream
from app.services import dry_runs
from app.services.dry_runs import Shown
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from jobs import dry_runs as dry_run_jobs
from tests.jobs.test_connections import Site, site, vendor

__all__ = ["site", "vendor"]


def start(site: Site) -> None:
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        for stream in db.session.scalars(db.select(InstallationStream)):
            stream.enabled = stream.stream == "contacts"
        db.session.flush()
        dry_runs.start(site.tenant_id, site.installation_id)


def look(site: Site) -> Shown:
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id):
        shown = dry_runs.find_latest(site.tenant_id, site.installation_id)
        assert shown is not None
        return shown


def test_a_budget_that_ends_first_is_said_and_makes_wide_ranges(
    site: Site, apps: dict[str, Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = apps["worker"].extensions["settings"].model_copy(update={"dry_run_records": 200})
    monkeypatch.setitem(apps["worker"].extensions, "settings", settings)
    site.authorise()
    start(site)
    drain_module.drain("sync")
    (told,) = look(site).result["streams"]
    assert (told["ended"], told["read"], told["total"]) == ("records", 200, 1000)
    made = told["into"]["create"]
    assert told["expected"]["into"]["create"] == 5 * made == look(site).result["totals"]["created"]
    least, most = told["promise"]["created"]
    assert (least, most) == (5 * made - round(2.5 * made + 0.25), 5 * made + round(2.5 * made + 0.25))


def test_it_goes_on_in_slices_with_a_token_that_was_taken_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.authorise()
    start(site)
    slices = 0

    def over(_self: Any) -> bool:
        nonlocal slices
        slices += 1
        if slices == 3:
            site.vendor.expire_access()
        return slices % 3 == 0

    monkeypatch.setattr(drain_module.Slice, "over", over)
    for _ in range(20):
        if not drain_module.drain("sync"):
            break
    shown = look(site)
    assert (shown.state, shown.error) == ("ready", "")
    assert slices > 6
    assert (shown.result["streams"][0]["read"], shown.result["streams"][0]["into"]["create"]) == (1000, 997)


def test_postgresql_refuses_what_a_dry_run_would_write(site: Site, owner: psycopg.Connection[Any]) -> None:
    """Red when pages are looked at in a transaction that may write."""
    refused = pytest.raises(DBAPIError, match="read-only transaction")
    with site.apps["worker"].app_context(), refused, dry_run_jobs._reading(site.tenant_id):
        db.session.execute(text("UPDATE installation_streams SET enabled = false"))
    assert owner.execute("SELECT bool_and(enabled) FROM installation_streams").fetchone() == (True,)
