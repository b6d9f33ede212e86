"""A worker with kinds of tasks made for tests: `python -m tests.jobs.probe sync`; they note what they do in a file."""

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import text

from app.clock import now
from app.db import db
from app.services import tasks
from app.services.tasks import Again, Done, LeasedTask, LeaseLostError, Outcome
from app.transaction import transaction
from jobs import worker
from jobs.drain import Slice, worker_app
from jobs.kinds import KINDS

NOTES = "PATCHBAY_TEST_NOTES"
PROBES = {name: f"tests.jobs.probe:{name}" for name in ("note", "poison", "broken", "long", "late")}


def write(line: str) -> None:
    """Add a line that outlives this process."""
    with Path(os.environ[NOTES]).open("a") as file:
        file.write(f"{line}\n")


def note(task: LeasedTask, _slice: Slice) -> Outcome:
    """Note the task with this process and its connection."""
    with transaction():
        tasks.fence(task)
        backend = db.session.scalar(text("SELECT pg_backend_pid()"))
    write(f"note {task.key} {os.getpid()} {backend}")
    return Done()


def poison(task: LeasedTask, _slice: Slice) -> Outcome:
    """Kill the process that works on it."""
    write(f"poison {task.attempts}")
    os.kill(os.getpid(), signal.SIGKILL)
    return Done()


def broken(_task: LeasedTask, _slice: Slice) -> Outcome:
    """Fail with a text that must not be stored."""
    raise ValueError("the password is hunter2hunter2")


def long(task: LeasedTask, slice_: Slice) -> Outcome:
    """Work until the slice is over."""
    while not slice_.over():
        pass
    write(f"long {task.key}")
    return Again(now())


def late(_task: LeasedTask, _slice: Slice) -> Outcome:
    """Find that another worker has taken it over."""
    raise LeaseLostError


def main(lane: str) -> None:
    """Note the parent's own connection, then serve the lane."""
    KINDS.update(PROBES)
    with worker_app().app_context(), transaction():
        write(f"parent {os.getpid()} {db.session.scalar(text('SELECT pg_backend_pid()'))}")
    worker.main(lane)


if __name__ == "__main__":
    main(sys.argv[1])
