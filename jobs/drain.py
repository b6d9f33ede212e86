"""What a bell starts: claim due tasks of a lane one after the other, for at most one slice of time, then end."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
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
# How soon a thread without work looks again while others work.
_LOOK_AGAIN = 0.1
# How long a task that is told to end may still wait for somebody's answer.
_LONGEST_CALL = 20.0


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
    """Work on due tasks of `lane`; return how many were handled.

    In the lane `send` several at once: most of them wait for somebody's server, and one that hangs must not hold up
    the others.
    """
    signal.signal(signal.SIGTERM, stop)
    flask_app = worker_app()
    settings = flask_app.extensions["settings"]
    if lane != "send" or settings.send_threads == 1:
        return Drain(flask_app, lane).work_on(0)
    drains = Drain(flask_app, lane, settings.send_threads)
    with ThreadPoolExecutor(settings.send_threads) as pool:
        return sum(pool.map(drains.work_on, range(settings.send_threads)))


class Drain:
    """One bell: claims tasks of a lane for at most one slice of time, in one thread or several."""

    def __init__(self, flask_app: Flask, lane: str, threads: int = 1) -> None:
        self._app, self._lane = flask_app, lane
        self._seconds: float = flask_app.extensions["settings"].slice_seconds
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._began = time.monotonic()
        # All are taken for busy at first, so that none ends before the others have looked.
        self._busy = set(range(threads))
        self._threads = threads

    def work_on(self, number: int) -> int:
        """Work until nothing is due and no other thread works, or the time is over; return how many were handled."""
        handled = 0
        try:
            while not _stopping and self._has_time(number):
                if self._work_on_one(number):
                    handled += 1
                    continue
                self._busy.discard(number)
                if not self._busy:
                    break
                time.sleep(_LOOK_AGAIN)
        finally:
            self._busy.discard(number)
        return handled

    def _has_time(self, number: int) -> bool:
        # While another thread hangs, this process takes no new bell: its free ones go on in its place.
        others = self._busy - {number}
        return self._left() + (_LONGEST_CALL if others else 0) > 0

    def _left(self) -> float:
        return self._began + self._seconds - time.monotonic()

    def _work_on_one(self, number: int) -> bool:
        with self._app.app_context():
            with transaction():
                claimed = tasks.claim(self._lane, self._name)
            if claimed is None:
                return False
            self._busy.add(number)
            with bind_tenant(claimed.tenant_id):
                # Several threads end together, so that none is waited for: what they take up late is short.
                work(claimed, max(self._left(), 0.0) if self._threads > 1 else self._seconds)
            return True


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
