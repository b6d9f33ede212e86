"""A real Kinto whose account may read some of the data, or nothing (V20)."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from flask import Flask

from app.services import diagnoses, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.kinto import PASSWORD, USER, Kinto, company, contact
from tests.factories.people import sign_in
from tests.factories.tenants import activate, connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
READER = "reader"
SENTENCE = "The Kinto account may not read this collection."


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    server = Kinto(tmp_path).start()
    server.put_all("contacts", [contact(n) for n in range(5)])
    server.put_all("companies", [company(n) for n in range(3)])
    account = f"{server.origin}/v1/accounts/{READER}"
    requests.put(account, json={"data": {"password": PASSWORD}}, timeout=5).raise_for_status()
    yield server
    server.stop()


def allow(kinto: Kinto, *collections: str) -> None:
    """Let the reader read these collections and nothing else."""
    for place in ("", "/collections/contacts", "/collections/companies"):
        principals = [f"account:{READER}"] if place.rpartition("/")[2] in collections else []
        answer = requests.patch(
            f"{kinto.origin}/v1/buckets/crm{place}", json={"permissions": {"read": principals}}, auth=(USER, PASSWORD),
            timeout=5,
        )  # fmt: skip
        answer.raise_for_status()


class Site:
    """A tenant whose installation was connected while its account could read everything."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, kinto: Kinto) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        kinto.allow_reading(f"account:{READER}")
        with apps["web"].app_context():
            self.id = connect_kinto(self.tenant_id, kinto.origin, PASSWORD, READER)
        drain_module.drain("fast")

    def activate(self) -> uuid.UUID:
        with self.apps["web"].app_context():
            run_id = activate(self.tenant_id, self.id)
        drain_module.drain("sync")
        return run_id

    def run(self) -> uuid.UUID:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            run_id = runs.start_run(self.tenant_id, self.id, trigger="manual").id
        drain_module.drain("sync")
        return run_id

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.owner.execute(query, values).fetchall()

    def streams(self, run_id: uuid.UUID) -> list[tuple[Any, ...]]:
        return self.ask(
            "SELECT stream, state, read, error_code FROM run_streams WHERE run_id = %s ORDER BY position", run_id
        )

    def problems(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT signature, message, stops_sync FROM problems WHERE state = 'open'")

    def status(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT status, signature FROM installation_status")


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner, kinto: Kinto, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Site(apps, owner, kinto)


def test_a_forbidden_stream_stops_no_other_one(site: Site, kinto: Kinto) -> None:
    """The first stream of the two is forbidden, so that going on is what is proved."""
    allow(kinto, "companies")
    run_id = site.activate()
    assert site.streams(run_id) == [("contacts", "failed", 0, "permission_missing"), ("companies", "done", 3, None)]
    assert site.ask("SELECT state FROM runs") == [("done",)]
    assert site.problems() == [("permission_missing:contacts", f"Contacts: {SENTENCE}", False)]
    assert site.ask("SELECT blocked_code, failures_in_row, last_success_at IS NULL FROM installations") == [
        (None, 0, False)
    ]
    assert site.status() == [("incomplete", "permission_missing:contacts")]

    site.run()
    assert site.ask("SELECT count FROM problems WHERE state = 'open'") == [(2,)]

    allow(kinto, "companies", "contacts")
    run_id = site.run()
    assert [row[:3] for row in site.streams(run_id)] == [("contacts", "done", 5), ("companies", "done", 0)]
    assert site.problems() == []
    assert site.status() == [("healthy", None)]


def test_a_run_that_may_read_nothing_is_no_success(site: Site, kinto: Kinto) -> None:
    site.activate()
    before = site.ask("SELECT last_success_at FROM installations")
    allow(kinto, "companies")
    site.run()
    allow(kinto)
    run_id = site.run()
    assert [row[1:] for row in site.streams(run_id)] == [("failed", 0, "permission_missing")] * 2
    assert site.ask("SELECT state, error_code, error_message FROM runs WHERE id = %s", run_id) == [
        ("failed", "permission_missing", SENTENCE)
    ]
    assert site.ask("SELECT blocked_code, failures_in_row FROM installations") == [("permission_missing", 1)]
    assert site.problems() == [("permission_missing", SENTENCE, True)]
    assert site.status() == [("action_needed", "permission_missing")]
    assert site.ask("SELECT last_success_at FROM installations") > before, "that of the run that read one stream"
    success = site.ask("SELECT last_success_at FROM installations")
    site.run()
    assert site.ask("SELECT last_success_at FROM installations") == success
    assert site.ask("SELECT count(*) FROM records WHERE deleted_at IS NOT NULL") == [(0,)]


def test_a_record_of_a_forbidden_stream_is_stopped_by_that(site: Site, kinto: Kinto, apps: dict[str, Flask]) -> None:
    """The other stream of the same installation is not."""
    site.activate()
    allow(kinto, "companies")
    site.run()
    with apps["web"].app_context(), bind_tenant(site.tenant_id):
        found = {
            name: diagnoses.find(site.tenant_id, name, host="Fieldstone")[0].diagnosis
            for name in ("contact-1", "company-1")
        }
    stop = found["contact-1"].decisive
    assert (stop.outcome, stop.text, stop.act.kind if stop.act else "") == (
        "forbidden", f"Contacts: {SENTENCE}", "reconnect",
    )  # fmt: skip
    assert found["company-1"].in_sync


def test_the_run_page_names_the_stream_and_what_to_do(site: Site, kinto: Kinto, apps: dict[str, Flask]) -> None:
    allow(kinto, "contacts")
    run_id = site.activate()
    page = sign_in(apps, site.tenant_id).get(f"/runs/{run_id}").text
    assert SENTENCE in page
    assert "Give the account read permission on the bucket in Kinto." in page
