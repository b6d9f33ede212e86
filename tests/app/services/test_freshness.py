"""How fresh each stream is against its promise, and what moved in 30 days: only rows of this installation count."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.ids import first_at
from app.services import freshness, installations
from app.services.freshness import StreamFacts
from app.tenancy import bind_tenant
from tests.factories.tenants import activate, connect_kinto, make_tenant

NOW = datetime.now(UTC)


class Site:
    """An active installation of Kinto that promises 15 minutes, and another one of the same tenant."""

    def __init__(self, apps: dict[str, Flask], owner: psycopg.Connection[Any]) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        self.mine, self.other = self.install("http://127.0.0.1:1"), self.install("http://127.0.0.1:2")

    def install(self, origin: str) -> uuid.UUID:
        with self.apps["web"].app_context():
            made = connect_kinto(self.tenant_id, origin, "password")
            self.owner.execute("UPDATE connections SET state = 'ready', account_id = id::text, account_name = 'A'")
            activate(self.tenant_id, made)
        self.owner.execute("DELETE FROM runs")
        self.owner.execute("UPDATE schedules SET promised_at = now() - interval '1 day'")
        return made

    def run(
        self, minutes: float, *, stream: str = "contacts", state: str = "done", of: Any = None, **counts: int
    ) -> None:
        """Add a run of so many minutes ago with one stream."""
        at = NOW - timedelta(minutes=minutes)
        made = self.owner.execute(
            "INSERT INTO runs (tenant_id, id, installation_id, listing_version_id, trigger, state, created_at) SELECT "
            "tenant_id, %s, id, listing_version_id, 'schedule', 'done', %s FROM installations WHERE id = %s RETURNING id",
            (first_at(at), at, of or self.mine),
        ).fetchone()
        assert made
        names = ["tenant_id", "id", "run_id", "stream", "position", "mode", "pass_id", "mapping_version", "state",
                 "finished_at", *counts]  # fmt: skip
        values = [self.tenant_id, uuid.uuid4(), made[0], stream, 0, "incremental", uuid.uuid4(), 1, state, at,
                  *counts.values()]  # fmt: skip
        places = ", ".join(["%s"] * len(values))
        self.owner.execute(f"INSERT INTO run_streams ({', '.join(names)}) VALUES ({places})", values)  # type: ignore[arg-type]

    def streams(self) -> dict[str, StreamFacts]:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id):
            facts = installations.get_overview(self.tenant_id, self.mine).facts
            return {s.stream: s for s in freshness.list_streams(self.tenant_id, self.mine, facts)}


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any]) -> Site:
    return Site(apps, owner)


def test_a_stream_is_as_fresh_as_its_newest_read_that_was_complete(site: Site) -> None:
    site.run(50, stream="companies")
    site.run(10, stream="contacts")
    site.run(5, stream="contacts", state="failed")
    site.run(1, stream="companies", of=site.other)
    found = site.streams()
    assert found["contacts"].read_at == NOW - timedelta(minutes=10)
    assert found["companies"].read_at == NOW - timedelta(minutes=50)
    # 15 minutes are promised, and five more are let pass.
    assert not found["contacts"].late(NOW)
    assert found["companies"].late(NOW)
    assert not found["companies"].late(NOW - timedelta(minutes=31))


def test_what_was_never_read_is_late_once_the_promise_is_broken(site: Site) -> None:
    found = site.streams()["contacts"]
    assert found.read_at is None
    assert found.late(NOW)
    site.owner.execute("UPDATE schedules SET kind = 'manual'")
    assert not site.streams()["contacts"].late(NOW)
    site.owner.execute("UPDATE schedules SET kind = 'interval'")
    site.owner.execute("UPDATE installations SET state = 'paused'")
    assert not site.streams()["contacts"].late(NOW)


def test_volumes_are_those_of_thirty_days_of_this_installation(site: Site) -> None:
    site.run(5, read=9, pages=2, created=3, updated=2, linked=1, deleted=1)
    site.run(60 * 24 * 29, created=10)
    site.run(60 * 24 * 31, created=100)
    site.run(6, of=site.other, created=1000)
    site.owner.execute(
        "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
        "mapping_version, deleted_at) SELECT %(t)s, gen_random_uuid(), CASE WHEN n < 5 THEN %(a)s ELSE %(b)s END::uuid, "
        "'contacts', n::text, gen_random_uuid(), '{}', '', 1, CASE WHEN n = 1 THEN now() END FROM generate_series(1, 9) n",
        {"t": site.tenant_id, "a": str(site.mine), "b": str(site.other)},
    )
    site.owner.execute(
        "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, state, operation, settled_at) SELECT "
        "%s, gen_random_uuid(), %s, 'contacts', gen_random_uuid(), CASE WHEN n = 4 THEN 'rejected' ELSE 'confirmed' END, "
        "CASE WHEN n = 1 THEN 'create' ELSE 'update' END, now() - n * interval '9 days' FROM generate_series(1, 4) n",
        (site.tenant_id, site.mine),
    )
    found = site.streams()["contacts"]
    assert (found.moved.created, found.moved.updated, found.moved.deleted, found.moved.read, found.moved.pages) == (
        13,
        3,
        1,
        9,
        2,
    )
    assert found.records == 3
    assert found.moved.written == {"create": 1, "update": 2, "delete": 0}


def test_a_stream_that_is_off_is_shown_while_it_has_records(site: Site) -> None:
    site.owner.execute("UPDATE installation_streams SET enabled = false WHERE stream = 'companies'")
    assert set(site.streams()) == {"contacts"}


def test_counting_ends_where_it_would_take_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("contacts", "companies"):
        site.owner.execute(
            "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
            "mapping_version) SELECT %s, gen_random_uuid(), %s, %s, n::text, gen_random_uuid(), '{}', '', 1 "
            "FROM generate_series(1, 6) n",
            (site.tenant_id, site.mine, stream),
        )
    assert {name: (s.records, s.many) for name, s in site.streams().items()} == {
        "companies": (6, False),
        "contacts": (6, False),
    }
    monkeypatch.setattr(freshness, "MOST", 8)
    found = site.streams().values()
    assert all(s.many for s in found)
    assert sum(s.records for s in found) == 9
