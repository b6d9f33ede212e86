"""A dry run against a real Kinto, and whether the first run does what it says (D22)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.models.installations import InstallationStream
from app.services import dry_runs, record_edits
from app.services.dry_runs import Shown
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.kinto import Kinto, contact
from tests.counterparts.test_two_way_on_kinto import Sides
from tests.factories.tenants import activate

Owner = psycopg.Connection[Any]
KINDS = ("read", "created", "updated", "linked", "unchanged", "filtered", "failed", "conflicts", "outgoing")


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    server = Kinto(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def sides(apps: dict[str, Flask], clean: None, owner: Owner, kinto: Kinto, monkeypatch: pytest.MonkeyPatch) -> Sides:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Sides(apps, owner, kinto, drain_module.drain)


def choose(sides: Sides, *, direction: str = "both", policy: str = "theirs") -> None:
    """Choose contacts alone, with a direction and a policy."""
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        for stream in db.session.scalars(db.select(InstallationStream)):
            stream.direction, stream.conflict_policy = direction, policy
            stream.enabled = stream.stream == "contacts"


def hold(sides: Sides, *contacts: dict[str, Any]) -> None:
    """Give the host these contacts."""
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        for values in contacts:
            record_edits.create(sides.tenant_id, "contact", values, writer="Host")


def ask(sides: Sides) -> None:
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        dry_runs.start(sides.tenant_id, sides.installation_id)


def look(sides: Sides) -> Shown:
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id):
        shown = dry_runs.find_latest(sides.tenant_id, sides.installation_id)
        assert shown is not None
        return shown


def dry_run(sides: Sides) -> dict[str, Any]:
    """Make a dry run of the contacts and return what it says of them."""
    ask(sides)
    sides.settle()
    shown = look(sides)
    assert (shown.state, shown.error) == ("ready", "")
    (told,) = shown.result["streams"]
    return dict(told)


def first_run(sides: Sides) -> dict[str, int]:
    """Start as the wizard does, and return what the first run has counted."""
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        dry_runs.keep(sides.tenant_id, sides.installation_id)
    with sides.apps["web"].app_context():
        activate(sides.tenant_id, sides.installation_id)
    sides.settle()
    return counted(sides)


def counted(sides: Sides) -> dict[str, int]:
    row = sides.owner.execute(f"SELECT {', '.join(KINDS)} FROM run_streams ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return dict(zip(KINDS, row, strict=True))


def state(sides: Sides) -> str:
    row = sides.owner.execute("SELECT state FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return str(row[0])


def rows(owner: Owner) -> dict[str, int]:
    """Return how many rows each table has."""
    tables = owner.execute(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' "
        "AND relkind = 'r'"
    ).fetchall()
    return {t: owner.execute(f'SELECT count(*) FROM "{t}"').fetchone()[0] for (t,) in tables}  # type: ignore[index]


def test_the_first_run_of_two_full_sides_does_what_the_dry_run_says(sides: Sides) -> None:
    """D22: 1,000 records on both sides; some differ, some are double here, some are only on one side."""
    theirs = [contact(n) for n in range(1000)]
    theirs += [contact(n) for n in range(2000, 2030)] + [contact(9000 + n, email="not an address") for n in range(3)]
    # The same person twice over there: the second joins the record that the first makes.
    theirs += [contact(3000, email="twice@example.test"), contact(3001, email="TWICE@example.test", city="Bonn")]
    sides.kinto.put_all("contacts", theirs)
    choose(sides, policy="ask")
    ours = [
        {"email": f"person{n}@example.test", "first_name": "Ada", "last_name": f"Byron {n}"}
        | ({"city": "Oslo"} if n % 10 == 0 else {})
        | ({"job_title": "Engineer"} if n % 3 == 0 else {})
        for n in range(1000)
    ]
    double = [{"email": f"person{n}@example.test", "first_name": "Other"} for n in (1, 2)]
    hold(sides, *ours, *double, *({"email": f"only{n}@example.test", "city": "Rome"} for n in range(40)))
    before = rows(sides.owner)
    told = dry_run(sides)
    after = rows(sides.owner)
    for name in ("previews", "tasks", "task_gates", "breakers"):
        before.pop(name), after.pop(name)
    assert after == before
    assert told["ended"] == "all"
    found = first_run(sides)
    print("\ndry run", told["counts"], told["there"])
    print("first run", found)
    assert {kind: told["counts"][kind] for kind in KINDS} == found
    sent = dict(
        sides.owner.execute("SELECT operation, count(*) FROM intents WHERE state = 'confirmed' GROUP BY 1").fetchall()
    )
    assert sent.get("create", 0) == told["there"]["create"]
    assert sent.get("update", 0) == told["there"]["change"]
    assert state(sides) == "done"
