"""What a bell starts: claim due tasks of a lane one after the other, for at most one slice of time, then end."""

import os
import signal
import socket
import time
from functools import lru_cache
from types import FrameType

from flask import Flask

from app import create_app, log
from app.clock import now
from app.db import db
from app.services import tasks
from app.services.tasks import Again, LeasedTask, LeaseLostError, Outcome
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import calls
from jobs.kinds import handler_of

_logger = log.logger(__name__)
_stopping = False


class Slice:
    """How long a task may work before it puts itself back."""

    def __init__(self, task: LeasedTask, seconds: float) -> None:
        self._task = task
        self._began = self._asked = time.monotonic()
        self._seconds = seconds

    @property
    def stopping(self) -> bool:
        """Whether this process has been told to end."""
        return _stopping

    def over(self) -> bool:
        """Whether the time is used: all of it, or a tenth when another tenant waits in the lane.

        Asked between two steps: what the calls so far have come to is written here.
        """
        calls.current().write_if_due()
        spent = time.monotonic() - self._began
        if _stopping or spent >= self._seconds:
            return True
        if spent < self._seconds / 10 or time.monotonic() - self._asked < self._seconds / 20:
            return False
        self._asked = time.monotonic()
        waits = tasks.others_wait(self._task)
        db.session.rollback()
        return waits


@lru_cache(maxsize=1)
def worker_app() -> Flask:
    """Return this process's application; the worker makes it before it forks."""
    return create_app("worker")


def stop(_signal: int = 0, _frame: FrameType | None = None) -> None:
    """Make the slice under way end at its next step."""
    global _stopping
    _stopping = True


def drain(lane: str) -> int:
    """Work on due tasks of `lane`; return how many were handled."""
    signal.signal(signal.SIGTERM, stop)
    flask_app = worker_app()
    seconds = flask_app.extensions["settings"].slice_seconds
    name = f"{socket.gethostname()}:{os.getpid()}"
    began, handled = time.monotonic(), 0
    while not _stopping and time.monotonic() - began < seconds:
        with flask_app.app_context():
            with transaction():
                claimed = tasks.claim(lane, name)
            if claimed is None:
                break
            with bind_tenant(claimed.tenant_id):
                work(claimed, seconds)
        handled += 1
    return handled


def work(task: LeasedTask, seconds: float) -> None:
    """Run the handler of a claimed task and record what came of it. Its tenant is bound."""
    try:
        with log.bind(task_id=str(task.id), tenant_id=str(task.tenant_id), kind=task.kind):
            outcome = _handle(task, seconds)
            if outcome is not None:
                with transaction():
                    tasks.end(task, outcome)
    except LeaseLostError:
        db.session.rollback()
        _logger.warning("lease lost", task_id=str(task.id))


def _handle(task: LeasedTask, seconds: float) -> Outcome | None:
    try:
        with calls.recorded():
            outcome: Outcome = handler_of(task.kind)(task, Slice(task, seconds))
    except LeaseLostError:
        raise
    except Exception as error:  # The edge of a job: whatever went wrong is recorded on its row.
        db.session.rollback()
        _logger.exception("task failed")
        with transaction():
            # The text of an exception may hold anything; its type and place are enough here, the log has the rest.
            tasks.fail(task, f"{type(error).__name__} in {task.kind}")
        return None
    return Again(now()) if _stopping and isinstance(outcome, Again) else outcome
