"""A dry run against a real Kinto, and whether the first run does what it says (D22)."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from psycopg.types.json import Jsonb

from app.db import db
from app.ids import new_id
from app.models.installations import InstallationStream
from app.services import dry_runs, record_edits, runs
from app.services.dry_runs import Shown
from app.services.record_edits import Edit
from app.sync.hashes import digest
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
    """Give the host these contacts, in bulk: made one by one, a thousand of them take longer than a transaction may."""
    rows = [(sides.tenant_id, new_id(), data, digest(data)) for data in contacts]
    keys = [(tenant_id, data["email"], record_id) for tenant_id, record_id, data, _ in rows]
    with sides.owner.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO records (tenant_id, id, object_type, data, hash) VALUES (%s, %s, 'contact', %s, %s)",
            [(tenant_id, record_id, Jsonb(data), found) for tenant_id, record_id, data, found in rows],
        )
        cursor.executemany(
            "INSERT INTO record_keys (tenant_id, object_type, key, value, record_id) "
            "VALUES (%s, 'contact', 'email', %s, %s)",
            keys,
        )


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


def answer(sides: Sides, what: Any) -> None:
    """Answer the question of the run, and work until nothing is due."""
    run_id = sides.owner.execute("SELECT id FROM runs WHERE state = 'asking'").fetchone()
    assert run_id is not None
    more = (uuid.uuid4(),) if what is runs.confirm else ()
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        what(sides.tenant_id, run_id[0], *more)
    sides.settle()


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
    theirs = [contact(n, **({"phone": None} if n % 7 == 0 else {})) for n in range(1000)]
    theirs += [contact(n) for n in range(2000, 2030)] + [contact(9000 + n, email="not an address") for n in range(3)]
    # The same person twice over there: the second joins the record that the first makes.
    theirs += [contact(3000, email="twice@example.test"), contact(3001, email="TWICE@example.test", city="Bonn")]
    theirs += [contact(4000 + n, country="AT") for n in range(12)]
    sides.kinto.put_all("contacts", theirs)
    choose(sides, policy="ask")
    sides.owner.execute(
        "UPDATE mappings SET filters = %s WHERE stream = 'contacts'",
        (Jsonb([{"field": "country", "op": "is", "values": ["AT"], "mode": "exclude"}]),),
    )
    ours = [
        {"email": f"person{n}@example.test", "first_name": "Ada", "last_name": f"Byron {n}"}
        | ({"city": "Oslo"} if n % 10 == 0 else {})
        | ({"phone": "+44 20 7946 1000"} if n % 7 == 0 else {})
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
    print("\ndry run", told["counts"], told["there"], [(c["count"], c["message"]) for c in told["causes"]])
    print("first run", found)
    assert {kind: told["counts"][kind] for kind in KINDS} == found
    sent = dict(
        sides.owner.execute("SELECT operation, count(*) FROM intents WHERE state = 'confirmed' GROUP BY 1").fetchall()
    )
    assert sent.get("create", 0) == told["there"]["create"] == 40
    # Two pairs here fit one record there each: a person says which of them it is.
    assert told["there"]["left_out"] == 4
    assert sent.get("update", 0) == told["there"]["change"] == 143
    assert [(cause["kind"], cause["count"]) for cause in told["causes"]] == [("filter", 12), ("mapping", 3)]
    assert state(sides) == "done"
    # No double of what was matched, and the next full pass makes none either.
    assert len(sides.kinto.all("contacts")) == len(theirs) + 40
    again = dry_run(sides)
    assert (again["into"]["create"], again["there"]["create"], again["there"]["change"]) == (0, 0, 0)


def test_a_promise_that_would_be_broken_asks_before_the_page_is_written(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(250)])
    choose(sides, direction="in")
    assert dry_run(sides)["promise"]["created"] == [225, 275]
    sides.kinto.put_all("contacts", [contact(n) for n in range(1000, 1200)])
    first_run(sides)
    assert state(sides) == "asking"
    (question,) = sides.owner.execute("SELECT question FROM runs").fetchone() or (None,)
    assert (question["what"], question["predicted"]) == ("created", [225, 275])
    assert question["now"] > 275
    written = sides.count("SELECT count(*) FROM records")
    assert written <= 275
    assert sides.count("SELECT count(*) FROM problems WHERE code = 'promise_ask' AND state = 'open'") == 1
    answer(sides, runs.confirm)
    assert (state(sides), sides.count("SELECT count(*) FROM records")) == ("done", 450)
    assert sides.owner.execute("SELECT promise FROM installation_streams WHERE stream = 'contacts'").fetchone() == (
        None,
    )
    assert sides.count("SELECT count(*) FROM problems WHERE state = 'open'") == 0


def test_stopping_there_leaves_what_is_written_and_holds_the_next_run_to_the_rest(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(250)])
    choose(sides, direction="in")
    dry_run(sides)
    sides.kinto.put_all("contacts", [contact(n) for n in range(1000, 1200)])
    first_run(sides)
    written = sides.count("SELECT count(*) FROM records")
    answer(sides, runs.decline)
    assert (state(sides), sides.count("SELECT count(*) FROM records")) == ("stopped", written)
    promise = sides.owner.execute("SELECT promise FROM installation_streams WHERE stream = 'contacts'").fetchone()
    assert promise is not None
    assert promise[0]["created"] == [225 - written, 275 - written]
    sides.sync()
    assert state(sides) == "asking"
    assert sides.count("SELECT count(*) FROM records") <= 275


def test_what_only_the_host_has_is_not_sent_beyond_the_promise(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(30)])
    choose(sides)
    hold(sides, *({"email": f"only{n}@example.test"} for n in range(10)))
    assert dry_run(sides)["promise"]["create_there"] == [0, 30]
    hold(sides, *({"email": f"more{n}@example.test"} for n in range(50)))
    first_run(sides)
    (question,) = sides.owner.execute("SELECT question FROM runs").fetchone() or (None,)
    assert (question["what"], question["now"]) == ("create_there", 60)
    assert sides.count("SELECT count(*) FROM intents") == 0
    answer(sides, runs.confirm)
    assert state(sides) == "done"
    assert len(sides.kinto.all("contacts")) == 90


def test_fewer_matches_than_predicted_ask_before_doubles_are_made_there(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(100)])
    choose(sides)
    hold(sides, *({"email": f"person{n}@example.test"} for n in range(100)))
    assert dry_run(sides)["promise"]["linked"] == [80, 120]
    ids = [sides.record(f"person{n}@example.test")[0] for n in range(60)]
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        moved = [Edit(record_id, {"email": f"moved{n}@example.test"}) for n, record_id in enumerate(ids)]
        record_edits.apply(sides.tenant_id, moved, writer="Host")
    first_run(sides)
    assert state(sides) == "asking"
    assert sides.count("SELECT count(*) FROM intents") == 0


def test_where_nobody_says_how_many_there_are_nothing_is_promised(
    sides: Sides, apps: dict[str, Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = apps["worker"].extensions["settings"].model_copy(update={"dry_run_records": 200})
    monkeypatch.setitem(apps["worker"].extensions, "settings", settings)
    sides.kinto.put_all("contacts", [contact(n) for n in range(450)])
    choose(sides)
    told = dry_run(sides)
    # Kinto does not count its records in a listing.
    assert (told["ended"], told["read"], told["total"], told["promise"]) == ("records", 200, None, None)
    assert first_run(sides)["created"] == 450
    assert state(sides) == "done"


def test_at_any_time_it_tells_what_a_full_pass_would_do(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(150)])
    choose(sides)
    first_run(sides)
    sides.kinto.put_all("contacts", [contact(n, city="Oslo") for n in range(5)])
    for n in (10, 11, 12):
        sides.kinto.delete("contacts", f"contact-{n}")
    before = sides.count("SELECT count(*) FROM changes")
    told = dry_run(sides)
    assert (told["into"]["change"], told["into"]["unchanged"], told["into"]["delete"]) == (5, 142, 3)
    assert {sample["fields"][0]["after"] for sample in told["samples"]["changed"]} == {"Oslo"}
    assert sides.count("SELECT count(*) FROM changes") == before
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        assert dry_runs.keep(sides.tenant_id, sides.installation_id)
        runs.start_run(sides.tenant_id, sides.installation_id, trigger="resync", mode="full")
    sides.settle()
    assert (state(sides), counted(sides)["updated"]) == ("done", 5)
    assert look(sides).overtaken


def test_one_that_is_stopped_reads_nothing_more(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(10)])
    choose(sides)
    ask(sides)
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        dry_runs.stop(sides.tenant_id, sides.installation_id)
    sides.settle()
    assert look(sides).stopped


def test_a_vendor_that_is_down_is_said_and_one_that_is_lost_too(sides: Sides) -> None:
    choose(sides)
    sides.kinto.set_password("another")
    ask(sides)
    sides.settle()
    shown = look(sides)
    assert (shown.state, shown.error) == ("failed", "Kinto does not accept this account and password.")
    ask(sides)
    sides.owner.execute("UPDATE tasks SET state = 'dead' WHERE kind = 'dry_run' AND state = 'ready'")
    assert look(sides).error.startswith("The dry run ended without a result")


def test_a_changed_mapping_makes_it_old(sides: Sides) -> None:
    sides.kinto.put_all("contacts", [contact(n) for n in range(10)])
    choose(sides)
    dry_run(sides)
    assert look(sides).promises
    sides.owner.execute("UPDATE installation_streams SET conflict_policy = 'ours'")
    assert not look(sides).promises
    with sides.apps["web"].app_context(), bind_tenant(sides.tenant_id), transaction():
        assert not dry_runs.keep(sides.tenant_id, sides.installation_id)
