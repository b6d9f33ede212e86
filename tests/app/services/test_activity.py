"""The activity of an installation: acts, runs and problems in one list, page by page, in words; and what it may do."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.extensions import ROOT
from app.ids import first_at
from app.models.connections import Connection
from app.models.installations import Installation, InstallationStream
from app.services import activity, audit, connections, freshness, installations, listings, permissions
from app.services.activity import Entry
from app.services.audit import Actor
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.views.activity_words import ACTS, told
from connectors.sdk import Manifest
from tests.factories.tenants import connect_kinto, make_tenant

NOW = datetime.now(UTC)
ADA = Actor(uuid.uuid4(), "Ada")


class Site:
    """An installation with a history of two days, and another one beside it."""

    def __init__(self, apps: dict[str, Flask], owner: psycopg.Connection[Any]) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            self.mine, self.other = (connect_kinto(self.tenant_id, f"http://127.0.0.1:{n}", "password") for n in (1, 2))
        owner.execute("DELETE FROM audit")

    def run(self, minutes: float, state: str = "done", trigger: str = "schedule", *, of: Any = None) -> None:
        at = NOW - timedelta(minutes=minutes)
        self.owner.execute(
            "INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state, created_at, started_at, "
            "finished_at, error_message) SELECT tenant_id, %s, id, listing_version_id, %s, %s, %s, %s, %s, %s "
            "FROM installations WHERE id = %s",
            (first_at(at), trigger, state, at, at, at + timedelta(seconds=0.4), "It is down." if state == "failed" else None,
             of or self.mine),
        )  # fmt: skip

    def problem(self, opened: float, closed: float | None = None, *, of: Any = None) -> None:
        at, ended = NOW - timedelta(minutes=opened), closed and NOW - timedelta(minutes=closed)
        self.owner.execute(
            "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, state, created_at, closed_at, "
            "closed_by) VALUES (%s, %s, %s, gen_random_uuid()::text, 'c', 'The key is refused.', %s, %s, %s, 'A test.')",
            (self.tenant_id, first_at(at), of or self.mine, "closed" if closed else "open", at, ended),
        )

    def act(self, minutes: float, action: str, kind: str = "installation", *, of: Any = None, **details: Any) -> None:
        place = of or self.mine
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            named = str(place if kind == "installation" else uuid.uuid4())
            audit.write(self.tenant_id, action, kind, named, "contacts", ADA, place, **details)
        self.owner.execute(
            "UPDATE audit SET created_at = %s WHERE id = (SELECT id FROM audit ORDER BY id DESC LIMIT 1)",
            (NOW - timedelta(minutes=minutes),),
        )

    def entries(self, **more: Any) -> list[Entry]:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id):
            return activity.list_entries(self.tenant_id, self.mine, **more)


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any]) -> Site:
    found = Site(apps, owner)
    found.act(2000, "installation.activated")
    found.run(1999, trigger="first")
    for number in range(20):
        found.run(1900 - 15 * number, "failed" if number == 7 else "done")
    found.problem(1794, 1700)
    found.act(1750, "problem.tried", "problem", code="c")
    found.act(1600, "mapping.changed", version=3)
    found.problem(30)
    for of_other in (found.run, found.problem):
        of_other(5, of=found.other)  # type: ignore[operator]
    found.act(4, "installation.paused", of=found.other)
    return found


def test_the_newest_stands_first_and_ordinary_runs_are_left_out(site: Site) -> None:
    found = [(entry.kind, entry.what) for entry in site.entries()]
    assert found == [
        ("opened", "c"), ("act", "mapping.changed"), ("closed", "c"), ("act", "problem.tried"), ("opened", "c"),
        ("run", "failed"), ("run", "done"), ("act", "installation.activated"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", list(activity.KINDS))
@pytest.mark.parametrize("size", [1, 3])
def test_page_by_page_nothing_is_missed_and_nothing_comes_twice(site: Site, kind: str, size: int) -> None:
    whole, walked = site.entries(kind=kind, limit=100), list[Entry]()
    while page := site.entries(kind=kind, before=walked[-1].cursor if walked else None, limit=size):
        walked += page
    assert walked == whole
    assert len(whole) == {"all": 8, "people": 3, "runs": 21, "problems": 3}[kind]


def test_what_has_happened_is_told_in_words(site: Site) -> None:
    said = [told(entry, "Kinto") for entry in site.entries()]
    assert [line.title for line in said] == [
        "Problem: The key is refused.", "Saved version 3 of the mapping of contacts", "Solved: The key is refused.",
        "Tried once more what had failed", "Problem: The key is refused.", "Run failed", "Run done",
        "Finished the setup and started to sync",
    ]  # fmt: skip
    assert said[5].note == "It is down. Changes only, on schedule: 0 written, took 0.4 s."
    assert said[2].note == "A test."
    assert [entry.who for entry in site.entries(kind="people")] == ["Ada"] * 3


def test_a_subject_with_braces_is_only_text(site: Site) -> None:
    site.act(1, "mapping.changed", version="{subject.__class__}")
    assert (
        told(site.entries(kind="people", limit=1)[0], "Kinto").title
        == "Saved version {subject.__class__} of the mapping of contacts"
    )


def test_every_act_on_an_installation_has_words() -> None:
    """Whoever adds an act adds its sentence: here, so that no page shows a bare code."""
    sources = [file.read_text() for folder in ("app", "jobs") for file in (ROOT / folder).rglob("*.py")]
    kinds = "installation|run|problem|conflict|failed_record|connection"
    found = {name for text in sources for name in re.findall(rf'"([a-z_]+\.[a-z_]+)",\s*"(?:{kinds})"', text)}
    found |= {name for text in sources for name in re.findall(r'"((?:conflict|deletes|run)\.[a-z_]+)"', text)}
    events = {"conflict.opened", "run.started", "run.finished", "run.failed", "run.asked"}
    assert {"conflict.settled", "installation.paused", "problem.tried"} <= found
    assert found - set(ACTS) - events == set()


def manifest_of(slug: str) -> Manifest:
    version = listings.get_listing(slug).current_version
    assert version is not None
    return listings.manifest_of(version)


def _powers(site: Site, **settings: Any) -> tuple[list[Any], list[Any]]:
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id):
        one = db.session.scalars(db.select(Installation).where(Installation.id == site.mine)).one()
        manifest = manifest_of("sandbox")
        connection = Connection(settings=settings)
        facts = installations.get_overview(site.tenant_id, one.id).facts
        installed = [
            InstallationStream(
                stream="contacts", object_type="contact", enabled=True, direction="both", delete_policy="ignore"
            ),
            InstallationStream(
                stream="companies", object_type="company", enabled=True, direction="in", delete_policy="mirror"
            ),
        ]
        done = freshness.list_streams(site.tenant_id, one.id, facts)
        return permissions.permissions_of(manifest, connection), permissions.powers_of(
            manifest, connection, installed, done
        )


def test_what_may_be_done_is_what_direction_permission_and_policy_allow(site: Site) -> None:
    rights, powers = _powers(site)
    assert [(right.name, right.granted) for right in rights] == [("crm.read", True), ("crm.write", True)]
    contacts, companies = powers
    assert {name: power.why_not for name, power in contacts.there.items()} == {
        "create": "", "update": "", "delete": "Deletes of one side are not carried over.",
    }  # fmt: skip
    assert companies.there["update"].why_not == "Its direction is in only: nothing is written to Sandbox CRM."
    assert companies.here["delete"].why_not == ""

    rights, powers = _powers(site, left_out=["crm.write"])
    assert [(right.name, right.granted) for right in rights] == [("crm.read", True), ("crm.write", False)]
    assert powers[0].there["update"].why_not == "The permission crm.write was not given."


def test_credentials_that_are_entered_are_an_act(site: Site) -> None:
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        connection = connections.of_installation(site.tenant_id, site.mine)
        manifest = manifest_of("kinto")
        connections.save_credentials(
            site.tenant_id, connection.id, manifest, {}, {"password": "another"}, user_id=uuid.uuid4()
        )
    newest = site.entries(kind="people", limit=1)[0]
    assert newest.what == "connection.entered"
    assert "another" not in repr(newest)
