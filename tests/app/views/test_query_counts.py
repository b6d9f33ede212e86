"""How many queries a page takes: two before the view's own, and no more with more rows."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from app.db import db
from app.models.accounts import StaffRole
from app.services import accounts, installations, runs, sessions, support_grants
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]


class Site:
    """A tenant that grows, with somebody signed in who is its owner and of the host's support."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        app = apps["owner"]
        with app.app_context(), bind_tenant(self.tenant_id), transaction():
            user = accounts.make_user("ada@example.com", "Ada", "a long password")
            accounts.add_member(self.tenant_id, user.id, "owner")
            db.session.add_all([StaffRole(user_id=user.id, role=role) for role in ("support", "operator")])
            self.cookie = sessions.start_session(
                user.id, self.tenant_id, app.extensions["settings"], ip="", user_agent=""
            )
            support_grants.grant(self.tenant_id, user.id, hours=1, reason="Look")
        self.user_id = user.id
        self.installation_id = self.install()
        with apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            self.run_id = runs.start_run(self.tenant_id, self.installation_id, trigger="manual").id
        with apps["worker"].app_context(), bind_tenant(self.tenant_id), transaction():
            runs.begin(self.tenant_id, self.installation_id)

    def install(self) -> uuid.UUID:
        """Return one more installation that is active."""
        with self.apps["web"].app_context():
            made = connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")
            self.owner.execute(
                "UPDATE connections SET state = 'ready', account_id = id::text, account_name = 'A', tested_at = now()"
            )
            with bind_tenant(self.tenant_id), transaction():
                installations.activate(self.tenant_id, made, user_id=self.user_id)
            return made

    def grow(self, count: int) -> None:
        """Add `count` rows of everything that pages list."""
        for _ in range(count):
            self.install()
        each = {"tenant": self.tenant_id, "installation": self.installation_id, "run": self.run_id, "count": count}
        for statement in _ROWS:
            self.owner.execute(statement, each)  # type: ignore[arg-type]

    def conflict_id(self) -> uuid.UUID:
        """Return one of the conflicts."""
        row = self.owner.execute("SELECT id FROM conflicts LIMIT 1").fetchone()
        assert row is not None
        found: uuid.UUID = row[0]
        return found

    def browser(self) -> FlaskClient:
        """Return a browser that is signed in."""
        made = self.apps["web"].test_client()
        made.set_cookie("patchbay", self.cookie)
        return made


_ROWS = (
    "INSERT INTO users (id, email, name, password_hash) SELECT gen_random_uuid(), gen_random_uuid() || '@example.com', "
    "'B', '' FROM generate_series(1, %(count)s)",
    "INSERT INTO memberships (tenant_id, id, user_id, role) SELECT %(tenant)s, gen_random_uuid(), u.id, 'member' "
    "FROM users u WHERE NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id)",
    "INSERT INTO invitations (tenant_id, id, email, role, token_hash, invited_by, expires_at) SELECT %(tenant)s, "
    "gen_random_uuid(), 'c@example.com', 'member', gen_random_uuid()::text::bytea, gen_random_uuid(), "
    "now() + interval '1 day' FROM generate_series(1, %(count)s)",
    "INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state, started_at, finished_at) "
    "SELECT tenant_id, gen_random_uuid(), installation_id, listing_version_id, 'manual', 'done', now(), now() "
    "FROM runs, generate_series(1, %(count)s) WHERE id = %(run)s",
    "INSERT INTO run_streams (tenant_id, id, run_id, stream, position, mode, pass_id, mapping_version, state) SELECT "
    "tenant_id, gen_random_uuid(), id, 's' || number, number, 'full', gen_random_uuid(), 1, 'done' FROM runs, "
    "generate_series(1, %(count)s) number WHERE installation_id = %(installation)s AND number <= %(count)s "
    "ON CONFLICT DO NOTHING",
    "INSERT INTO exchanges (tenant_id, id, installation_id, run_id, method, url, ms) SELECT %(tenant)s, "
    "gen_random_uuid(), %(installation)s, %(run)s, 'GET', 'https://crm.example.com', 1 "
    "FROM generate_series(1, %(count)s)",
    "INSERT INTO failed_records (tenant_id, id, installation_id, run_id, stream, external_id, code, field, message) "
    "SELECT %(tenant)s, gen_random_uuid(), %(installation)s, %(run)s, 'contacts', gen_random_uuid()::text, 'invalid', "
    "'f' || number, 'm' FROM generate_series(1, %(count)s) number",
    "INSERT INTO mappings (tenant_id, id, installation_id, stream, version, rules) SELECT m.tenant_id, "
    "gen_random_uuid(), m.installation_id, m.stream, m.version + n, m.rules FROM mappings m JOIN installation_streams s "
    "USING (tenant_id, installation_id, stream), generate_series(1, %(count)s) n "
    "WHERE m.version = s.mapping_version AND m.installation_id = %(installation)s",
    "UPDATE installation_streams SET mapping_version = mapping_version + %(count)s "
    "WHERE installation_id = %(installation)s",
    "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message) SELECT %(tenant)s, "
    "gen_random_uuid(), %(installation)s, gen_random_uuid()::text, 'c', 'm' FROM generate_series(1, %(count)s)",
    "INSERT INTO records (tenant_id, id, object_type, data, hash) SELECT %(tenant)s, gen_random_uuid(), 'contact', "
    "'{\"email\": \"a@example.com\"}', '' FROM generate_series(1, %(count)s)",
    # One of each that has a page of its own, and many that it lists.
    "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, stops_sync) SELECT %(tenant)s, "
    "%(installation)s, %(installation)s, 'records_out:contacts:invalid:f', 'records_refused', 'm', true "
    "ON CONFLICT DO NOTHING",
    "INSERT INTO problems (tenant_id, id, installation_id, signature, code, message, state, closed_at) SELECT "
    "%(tenant)s, gen_random_uuid(), %(installation)s, 'records_out:contacts:invalid:f', 'c', 'm', 'closed', now() "
    "FROM generate_series(1, %(count)s)",
    "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, code, field, "
    "message) SELECT %(tenant)s, %(installation)s, %(installation)s, 'contacts', '1', 'out', r.id, 'invalid', 'f', 'm' "
    "FROM records r LIMIT 1 ON CONFLICT DO NOTHING",
    "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, code, field, "
    "message) SELECT %(tenant)s, gen_random_uuid(), %(installation)s, 'contacts', gen_random_uuid()::text, 'out', r.id, "
    "'invalid', 'f', 'm' FROM records r LIMIT %(count)s",
    "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, state, operation, sent_at, settled_at) "
    "SELECT %(tenant)s, gen_random_uuid(), %(installation)s, 'contacts', f.record_id, 'rejected', 'update', now(), now() "
    "FROM failed_records f WHERE f.id = %(installation)s",
    "UPDATE installation_streams SET direction = 'both'",
    "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, record_id, theirs) SELECT "
    "%(tenant)s, gen_random_uuid(), %(installation)s, 'contacts', gen_random_uuid()::text, 'fields', r.id, "
    '\'{"city": "Bonn"}\' FROM records r LIMIT %(count)s',
    "INSERT INTO changes (tenant_id, id, record_id, object_type, operation, after, writer) SELECT tenant_id, "
    "gen_random_uuid(), id, 'contact', 'updated', '{\"city\": \"Oslo\"}', 'Host' FROM records",
    "INSERT INTO audit (tenant_id, id, actor, action, subject_type, subject_id) SELECT %(tenant)s, gen_random_uuid(), "
    "'A', 'a.b', 's', '1' FROM generate_series(1, %(count)s)",
    "INSERT INTO sessions (id, token_hash, user_id, expires_at) SELECT gen_random_uuid(), "
    "gen_random_uuid()::text::bytea, user_id, expires_at FROM sessions, generate_series(1, %(count)s)",
)


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner) -> Site:
    return Site(apps, owner)


@contextmanager
def statements(apps: dict[str, Flask]) -> Iterator[list[str]]:
    """Collect what the web process asks PostgreSQL."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        found.append(statement)

    with apps["web"].app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


def counted(site: Site, path: str) -> int:
    """Return how many queries a page takes, once what is remembered for good is remembered."""
    browser = site.browser()
    assert browser.get(path).status_code == 200, path
    with statements(site.apps) as found:
        assert browser.get(path).status_code == 200, path
    return len(found)


def pages(site: Site) -> dict[str, int]:
    """Return page -> queries."""
    installation = f"/installations/{site.installation_id}"
    paths = (
        "/", "/home", "/integrations/kinto", "/installations", "/installations?status=healthy", installation, f"{installation}/live", f"{installation}/failed",
        f"{installation}/runs", f"{installation}/activity", f"{installation}/activity?kind=runs", f"/runs/{site.run_id}", f"/runs/{site.run_id}/undo", "/records", "/problems", "/problems?show=solved", f"/problems/{site.installation_id}", f"{installation}/failed/{site.installation_id}", "/members", "/notifications", "/data", "/host/tenants", "/audit", "/profile", "/fleet",
        f"/fleet/{site.tenant_id}", f"{installation}/mapping/contacts", f"{installation}/mapping/contacts/versions",
        f"{installation}/mapping/contacts/unmapped", f"{installation}/mapping/contacts/drift",
        f"{installation}/mapping/contacts/rules/city?part=row", f"{installation}/settings", f"{installation}/dry-run",
        "/conflicts", f"{installation}/conflicts", f"/conflicts/{site.conflict_id()}", f"/conflicts?like={site.conflict_id()}",
    )  # fmt: skip
    return {re.sub(r"(?<=/conflicts)/.*|=.*", "", path): counted(site, path) for path in paths}


def test_a_signed_in_request_takes_two_queries_before_the_views_own(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One finds the session, before anybody is bound; one brings person, tenant, role and staff roles."""
    seen: list[int] = []
    views = site.apps["web"].view_functions
    real = views["profile.show"]
    with statements(site.apps) as found:
        monkeypatch.setitem(views, "profile.show", lambda: (seen.append(len(found)), real())[1])
        assert site.browser().get("/profile").status_code == 200
    assert seen == [2]


def test_a_fragment_that_is_polled_counts_nothing_that_it_does_not_show(site: Site) -> None:
    path = f"/installations/{site.installation_id}/live"
    with statements(site.apps) as found:
        assert site.browser().get(path, headers={"HX-Request": "true"}).status_code == 200
    assert not [statement for statement in found if "problems" in statement]


# A record that all that is listed of a record is about.
_RECORD = "00000000-0000-4000-8000-000000000001"
_ABOUT_A_RECORD = (
    "INSERT INTO records (tenant_id, id, object_type, data, hash) SELECT %(tenant)s, %(record)s, 'contact', "
    "'{\"email\": \"b@example.com\"}', '' ON CONFLICT DO NOTHING",
    "INSERT INTO record_keys (tenant_id, object_type, key, value, record_id) SELECT %(tenant)s, 'contact', 'email', "
    "'b@example.com', %(record)s ON CONFLICT DO NOTHING",
    "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
    "mapping_version) SELECT %(tenant)s, gen_random_uuid(), i.id, 'contacts', 'c' || n, %(record)s, '{}', '', 1 "
    "FROM installations i, generate_series(1, %(count)s) n ON CONFLICT DO NOTHING",
    "INSERT INTO changes (tenant_id, id, record_id, run_id, installation_id, object_type, operation, after, writer) "
    "SELECT %(tenant)s, gen_random_uuid(), %(record)s, %(run)s, %(installation)s, 'contact', 'updated', "
    "'{\"city\": \"x\"}', 'A' FROM generate_series(1, %(count)s)",
    "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, state) SELECT %(tenant)s, "
    "gen_random_uuid(), %(installation)s, 'contacts', %(record)s, 'confirmed' FROM generate_series(1, %(count)s)",
    "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, record_id, kind, settled_by, "
    "settled_at, resolution, state) SELECT %(tenant)s, gen_random_uuid(), %(installation)s, 'contacts', "
    "gen_random_uuid()::text, %(record)s, 'fields', u.id, now(), 'ours', 'settled' FROM users u LIMIT %(count)s",
    "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, code, "
    "message, match_value) SELECT %(tenant)s, gen_random_uuid(), %(installation)s, 'contacts', "
    "gen_random_uuid()::text, 'out', %(record)s, 'invalid', 'm', 'b@example.com' FROM generate_series(1, %(count)s)",
)


def pages_of_a_record(site: Site) -> dict[str, int]:
    """Return page -> queries, of those about one record."""
    why, record = f"/installations/{site.installation_id}/why", f"/records/{_RECORD}"
    paths = (
        record, f"{record}?kind=writes", f"{record}/fields/city", f"{why}?q=b%40example.com", f"{why}?q=c1",
        f"{why}?q=nobody%40example.com", "/records/why?q=b%40example.com",
    )  # fmt: skip
    return {path: counted(site, path) for path in paths}


def test_no_page_about_a_record_takes_more_queries_with_more_rows(site: Site) -> None:
    """A trace joins what is kept in ten tables, for all of a tenant's installations at once."""
    found = []
    for count in (1, 12):
        site.grow(count)
        about = {"tenant": site.tenant_id, "installation": site.installation_id, "run": site.run_id, "record": _RECORD}
        for statement in _ABOUT_A_RECORD:
            site.owner.execute(statement, {**about, "count": count})  # type: ignore[arg-type]
        found.append(pages_of_a_record(site))
    few, many = found
    # The newest of a long story may be of fewer kinds than all of a short one.
    assert {path: min(count, few[path]) for path, count in many.items()} == many
    assert max(few.values()) <= 36


def test_no_page_takes_more_queries_with_more_rows(site: Site) -> None:
    site.grow(2)
    few = pages(site)
    site.grow(12)
    many = pages(site)
    assert many == few
    assert max(many.values()) <= 25  # The page of an installation; the others take half of it.
