"""The main job on a real Kinto: through the web pages as a browser would, with the real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.counterparts.kinto import PASSWORD, USER, Kinto, company, contact
from tests.factories.tenants import seed_catalog
from tests.processes import Browser, Processes, wait_for

CONTACTS, COMPANIES = 1900, 100


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    server = Kinto(tmp_path).start()
    server.put_all("contacts", [contact(n) for n in range(CONTACTS)])
    server.put_all("companies", [company(n) for n in range(COMPANIES)])
    yield server
    server.stop()


@pytest.fixture
def processes(environment: dict[str, str], clean: None, apps: dict[str, Flask], tmp_path: Path) -> Iterator[Processes]:
    seed_catalog(apps)
    found = Processes(environment, tmp_path / "log")
    found.start("web", "dispatcher", "fast-1", "sync-1", "sync-2")
    yield found
    found.stop()


def last_counts(owner: psycopg.Connection[Any]) -> tuple[Any, ...]:
    row = owner.execute(
        "SELECT r.state, sum(s.read)::int, sum(s.created)::int, sum(s.updated)::int, sum(s.deleted)::int, "
        "sum(s.failed)::int FROM runs r JOIN run_streams s ON s.run_id = r.id GROUP BY r.id, r.state "
        "ORDER BY r.id DESC LIMIT 1"
    ).fetchone()
    return tuple(row) if row else ()


def test_from_the_catalog_to_a_live_sync(processes: Processes, kinto: Kinto, owner: psycopg.Connection[Any]) -> None:
    """2,000 records arrive once; then one change, one new and one deleted record give exactly those counts."""
    person = Browser(processes.url)
    person.get("/sign-up")
    person.post(
        "/sign-up",
        {"company": "Aldgate", "name": "Maja", "email": "maja@aldgate-joinery.com", "password": "a long password"},
    )
    assert person.at == "/home"
    person.get("/integrations/kinto")
    person.post("/integrations/kinto/install")
    setup = person.at.rsplit("/", 1)[0]
    person.post(f"{setup}/connect", {"server": kinto.origin, "user": USER, "password": PASSWORD, "bucket": "crm"})
    wait_for(lambda: "Connected to crm" in person.get(f"{setup}/connect"), about="the connection test")
    person.get(f"{setup}/configure")
    person.post(
        f"{setup}/configure",
        {"name": "Our Kinto", "kind": "manual", "minutes": "15", "zone": "UTC", "streams": ["contacts", "companies"]},
    )
    assert "/mapping/" in person.at
    person.post(f"{setup}/map")
    wait_for(lambda: "and changed nothing." in person.get(f"{setup}/activate"), about="the dry run")
    person.post(f"{setup}/activate")
    page = person.at
    assert page == setup.removesuffix("/setup")
    wait_for(lambda: last_counts(owner)[:1] == ("done",), 60, about="the first run")
    assert last_counts(owner) == ("done", CONTACTS + COMPANIES, CONTACTS + COMPANIES, 0, 0, 0)
    doubles = owner.execute("SELECT count(*), count(DISTINCT external_id) FROM links").fetchone()
    assert doubles == (CONTACTS + COMPANIES, CONTACTS + COMPANIES)
    assert "Healthy" in person.get(page)

    kinto.put_all("contacts", [contact(7, city="Oslo"), contact(99_999)])
    kinto.delete("contacts", "contact-8")
    person.post(f"{page}/run")
    wait_for(lambda: last_counts(owner)[:1] == ("done",) and last_counts(owner)[1] < 100, about="the second run")
    assert last_counts(owner) == ("done", 2, 1, 1, 1, 0)
    story = owner.execute("SELECT id FROM records WHERE data->>'email' = 'person7@example.test'").fetchone()
    assert story is not None
    assert "Oslo" in person.get(f"/records/{story[0]}")

    kinto.set_password("another password")
    person.get(page)
    person.post(f"{page}/run")
    wait_for(lambda: last_counts(owner)[:1] == ("failed",), about="the refused run")
    assert "Kinto does not accept this account and password." in person.get("/problems")
    assert "Action needed" in person.get(page)
    assert PASSWORD not in processes.log()
