"""What a bell starts: real worker processes, handlers that break, slices that end (F22, F26)."""

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.devstack.process import spawn, stop
from jobs import drain as drain_module
from jobs.dispatcher import Dispatcher
from jobs.kinds import KINDS
from tests.factories.tasks import Lane
from tests.jobs.probe import NOTES, PROBES
from tests.processes import ROOT, wait_for

Owner = psycopg.Connection[Any]
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
FORKS = 50 if os.environ.get("PATCHBAY_SOAK") else 12


@pytest.fixture
def lane(apps: dict[str, Flask], clean: None, owner: Owner) -> Lane:
    return Lane(apps, owner)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[list[str]]]:
    """The notes of a kind that handlers have left, each as its words."""
    file = tmp_path / "notes"
    file.touch()
    monkeypatch.setenv(NOTES, str(file))

    def read(kind: str) -> list[list[str]]:
        return [line.split()[1:] for line in file.read_text().splitlines() if line.split()[0] == kind]

    return read


@pytest.fixture
def here(apps: dict[str, Flask], monkeypatch: pytest.MonkeyPatch, notes: Any) -> Callable[[], int]:
    """Drain the lane in this process."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    for kind, name in PROBES.items():
        monkeypatch.setitem(KINDS, kind, name)
    return lambda: drain_module.drain("sync")


@pytest.fixture
def worker(environment: dict[str, str], tmp_path: Path, notes: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """A real worker of the lane: one task to a horse, leases of half a second."""
    env = {**os.environ, **environment, "PATCHBAY_LEASE_SECONDS": "0.5", "PATCHBAY_SLICE_SECONDS": "0.001"}
    with (tmp_path / "log").open("wb") as log:
        process = spawn([sys.executable, "-m", "tests.jobs.probe", "sync"], env=env, output=log, cwd=ROOT)
        yield process
        stop(process)


def dispatch_until(apps: dict[str, Flask], done: Callable[[], bool]) -> None:
    """Tick as the dispatcher does until `done`."""
    dispatcher = Dispatcher(apps["dispatcher"])

    def tick() -> bool:
        with apps["dispatcher"].app_context():
            dispatcher.tick()
        return done()

    wait_for(tick, 60, every=0.1)


@pytest.mark.usefixtures("worker")
def test_a_task_that_kills_its_worker_is_dead_after_its_attempts_and_the_others_are_done(
    apps: dict[str, Flask], lane: Lane, notes: Callable[[str], list[list[str]]]
) -> None:
    """F22: attempts rise at the claim, so a crash counts."""
    lane.add(A, "bad", kind="poison", max_attempts=3)
    for number in range(4):
        lane.add(A, str(number), kind="note")
    dispatch_until(apps, lambda: not lane.count("lane = 'sync' AND state IN ('ready', 'leased')"))
    assert notes("poison") == [["1"], ["2"], ["3"]]
    assert lane.count("kind = 'poison' AND state = 'dead' AND last_error LIKE '%crash limit%'") == 1
    assert sorted(words[0] for words in notes("note")) == ["0", "1", "2", "3"]


@pytest.mark.usefixtures("worker")
def test_no_child_speaks_over_its_parents_connection(
    apps: dict[str, Flask], lane: Lane, notes: Callable[[str], list[list[str]]]
) -> None:
    """F26: red without the engine's disposal in the child."""
    for number in range(FORKS):
        lane.add(uuid.UUID(int=number), "n", kind="note")
    dispatch_until(apps, lambda: lane.count("kind = 'note' AND state = 'done'") == FORKS)
    parents = {words[1] for words in notes("parent")}
    children, backends = ({words[place] for words in notes("note")} for place in (1, 2))
    assert (len(notes("note")), len(parents)) == (FORKS, 1)
    assert len(children) > FORKS // 3
    assert not parents & backends
    assert len(backends) == len(children)


def test_all_due_tasks_of_the_lane_are_worked_on(here: Callable[[], int], lane: Lane, notes: Any) -> None:
    for tenant_id in (A, B):
        for number in range(3):
            lane.add(tenant_id, str(number), kind="note")
    assert here() == 6
    assert (len(notes("note")), lane.count("state = 'done'"), here()) == (6, 6, 0)


def test_an_error_is_stored_by_its_type_and_never_by_its_text(here: Callable[[], int], lane: Lane) -> None:
    lane.add(A, kind="broken")
    lane.add(A, kind="note")
    here()
    assert lane.count("kind = 'note' AND state = 'done'") == 1
    assert lane.count("state = 'ready' AND attempts = 1 AND last_error = 'ValueError in broken'") == 1


def test_a_task_of_an_unknown_kind_is_an_error_like_any_other(here: Callable[[], int], lane: Lane) -> None:
    lane.add(A, kind="no such kind", max_attempts=1)
    here()
    assert lane.row("state", "last_error") == ("dead", "KeyError in no such kind")


def test_a_lost_lease_ends_the_work_silently_and_leaves_the_row(here: Callable[[], int], lane: Lane) -> None:
    lane.add(A, kind="late")
    lane.add(B, kind="note")
    assert here() == 2
    assert lane.count("kind = 'late' AND state = 'leased' AND last_error IS NULL") == 1
    assert lane.count("kind = 'note' AND state = 'done'") == 1


def test_a_long_task_goes_back_after_its_slice_and_lets_others_go_first(
    here: Callable[[], int], lane: Lane, notes: Any, apps: dict[str, Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = apps["worker"].extensions["settings"].model_copy(update={"slice_seconds": 0.5})
    monkeypatch.setitem(apps["worker"].extensions, "settings", settings)
    lane.add(A, "long", kind="long")
    lane.add(B, "long", kind="long")
    here()
    order = [words[0] for words in notes("long")]
    assert len(order) > 4, "a tenth of a slice each, because the other one waits"
    assert lane.count("state = 'ready' AND attempts = 0") == 2


def test_a_worker_told_to_end_hands_its_task_back(
    here: Callable[[], int], lane: Lane, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_stopping", False)
    lane.add(A, kind="long")
    claimed = lane.take()
    drain_module.stop()
    with lane.bound(claimed):
        drain_module.work(claimed, 60)
    assert lane.row("state", "lease_until") == ("ready", None)
    assert here() == 0
