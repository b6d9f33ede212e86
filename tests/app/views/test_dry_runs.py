"""A dry run over HTTP: its page in each state, and what the two answers to a broken promise do."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from psycopg.types.json import Jsonb

from app.services import runs
from tests.factories.api_keys import tenant_caller
from tests.factories.mappings import Workspace

Owner = psycopg.Connection[Any]
HTMX = {"HX-Request": "true"}
QUESTION = {"kind": "promise", "stream": "contacts", "what": "created", "predicted": [225, 275], "now": 450}


@pytest.fixture
def work(apps: dict[str, Flask], clean: None) -> Iterator[Workspace]:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    yield Workspace(apps)
    apps["web"].config["WTF_CSRF_ENABLED"] = True


@pytest.fixture
def person(work: Workspace) -> FlaskClient:
    return work.browser()


@pytest.fixture
def here(work: Workspace) -> str:
    return f"/installations/{work.installation_id}"


def shown(person: FlaskClient, address: str, **headers: Any) -> str:
    return person.get(address, headers=headers).get_data(as_text=True)


def finish(owner: Owner) -> None:
    """Let the dry run be ready, with nothing to say."""
    totals = dict.fromkeys(("created", "changed", "linked", "unchanged", "there", "deleted_there", "left_out"), 0)
    result = {"streams": [], "totals": {**totals, "guessed": False, "flows_out": False, "alone": None}}
    owner.execute(
        "UPDATE previews SET state = 'ready', result = %s",
        (Jsonb({**result, "finished_at": "2026-11-27T10:00:00+00:00"}),),
    )


def test_none_yet_then_waiting_then_ready(work: Workspace, owner: Owner, person: FlaskClient, here: str) -> None:
    page = f"{here}/dry-run"
    assert "No dry run yet" in shown(person, page)
    assert person.post(page).headers["Location"] == page
    fragment = person.get(page, headers=HTMX)
    assert fragment.status_code == 200
    assert 'hx-trigger="every 1s"' in fragment.get_data(as_text=True)
    finish(owner)
    over = person.get(page, headers=HTMX)
    # 286 ends the asking; the whole page is loaded, for its buttons change with the state.
    assert (over.status_code, over.headers["HX-Refresh"]) == (286, "true")
    assert "Do exactly this now" in shown(person, page)
    other = person.get(f"{page}?samples=created", headers=HTMX)
    assert (other.status_code, "HX-Refresh" in other.headers) == (200, False)


def test_it_is_fetched_as_csv_once_it_is_ready(owner: Owner, person: FlaskClient, here: str) -> None:
    here = f"{here}/dry-run"
    assert person.get(f"{here}/file").status_code == 404
    person.post(here)
    assert person.get(f"{here}/file").status_code == 404
    finish(owner)
    answer = person.get(f"{here}/file")
    assert answer.status_code == 200
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.data.decode("utf-8-sig").startswith("stream,where,what,records")


def test_a_second_one_stops_the_first(owner: Owner, person: FlaskClient, here: str) -> None:
    person.post(f"{here}/dry-run")
    person.post(f"{here}/dry-run")
    states = owner.execute("SELECT state, error FROM previews ORDER BY id").fetchall()
    assert states == [("failed", "The dry run was stopped."), ("waiting", None)]


def test_a_run_that_is_held_to_it_is_a_full_one(owner: Owner, person: FlaskClient, here: str) -> None:
    person.post(f"{here}/dry-run")
    finish(owner)
    assert person.post(f"{here}/dry-run/run").headers["Location"] == here
    assert owner.execute("SELECT trigger, mode FROM runs").fetchall() == [("resync", "full")]
    # While it is under way no other is.
    assert person.post(f"{here}/dry-run/run").headers["Location"] == f"{here}/dry-run"


def test_without_a_connection_there_is_none(owner: Owner, person: FlaskClient, here: str) -> None:
    owner.execute("UPDATE connections SET state = 'testing'")
    page = person.post(f"{here}/dry-run", follow_redirects=True).get_data(as_text=True)
    assert "The connection is not ready." in page
    assert owner.execute("SELECT count(*) FROM previews").fetchone() == (0,)


@pytest.fixture
def asking(work: Workspace) -> uuid.UUID:
    """A run that has stopped before it would have left the predicted range."""

    def ask() -> uuid.UUID:
        runs.start_run(work.tenant_id, work.installation_id, trigger="manual", mode="full")
        run = runs.begin(work.tenant_id, work.installation_id)
        assert run is not None
        runs.ask(work.tenant_id, run, QUESTION)
        return run.id

    return uuid.UUID(str(work.act(ask, process="worker")))


def test_stop_here_pauses_and_go_on_goes_on(owner: Owner, person: FlaskClient, asking: uuid.UUID, here: str) -> None:
    page = shown(person, f"/runs/{asking}")
    for text in ("450", "225 to 275", "Go on", "Stop here"):
        assert text in page
    person.post(f"/runs/{asking}/keep")
    assert owner.execute("SELECT r.state, i.state FROM runs r, installations i").fetchall() == [("stopped", "paused")]
    assert "The run has ended and the sync is paused." in shown(person, here)
    owner.execute("UPDATE runs SET state = 'asking', question = %s", (Jsonb(QUESTION),))
    person.post(f"/runs/{asking}/confirm")
    row = owner.execute("SELECT state, promise_confirmed, confirmed FROM runs").fetchone()
    assert row == ("running", True, False)


def test_the_api_answers_as_the_page_does(
    apps: dict[str, Flask], work: Workspace, owner: Owner, asking: uuid.UUID
) -> None:
    answer = tenant_caller(apps, work.tenant_id)("POST", f"/runs/{asking}/answer", {"go_on": False})
    assert (answer.status_code, answer.json["state"]) == (200, "stopped")
    assert owner.execute("SELECT state FROM installations").fetchall() == [("paused",)]
    acts = owner.execute("SELECT action FROM audit WHERE action LIKE 'run.%' OR action LIKE '%.paused'").fetchall()
    assert sorted(row[0] for row in acts) == ["installation.paused", "run.declined"]
