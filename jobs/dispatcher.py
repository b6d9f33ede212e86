"""The dispatcher: `python -m jobs.dispatcher`. One is active by an advisory lock, spares wait for their turn.

Each tick it frees expired leases, turns due schedules into tasks and tops up the bells.
"""

import os
import signal
import socket
import sys
import threading
from datetime import datetime, timedelta

from flask import Flask
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from app import create_app, log, queue
from app.clock import now
from app.config import SettingsError
from app.db import db
from app.services import heartbeats, schedules, tasks
from app.tenancy import PLATFORM_TENANT
from app.transaction import transaction

_LOCK = 7_301_001
_BEAT = timedelta(seconds=5)
_DAY = timedelta(days=1)
_FOLDS = timedelta(minutes=15)
_logger = log.logger(__name__)


class Dispatcher:
    """The loop of one dispatcher process."""

    def __init__(self, flask_app: Flask) -> None:
        self._app = flask_app
        self._settings = flask_app.extensions["settings"]
        self._name = f"dispatcher:{socket.gethostname()}:{os.getpid()}"
        self._lock: Connection | None = None
        self._beat_at = self._prune_at = self._fold_at = datetime.min.replace(tzinfo=now().tzinfo)
        self.ended = threading.Event()

    def run(self) -> None:
        """Tick until told to stop; a database that is away is waited for."""
        while not self.ended.is_set():
            try:
                with self._app.app_context():
                    if self._is_active():
                        self.tick()
            except SQLAlchemyError as error:
                _logger.warning("tick failed", error=type(error).__name__)
                self._release()
            self.ended.wait(self._settings.tick_seconds)
        self._release()

    def _is_active(self) -> bool:
        # The lock lives as long as this connection: when the process dies, a spare takes over at its next tick.
        if self._lock is None:
            self._lock = db.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if self._lock.info.get("active"):
            self._lock.execute(text("SELECT 1"))
            return True
        if not self._lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):
            return False
        self._lock.info["active"] = True
        _logger.info("dispatcher active", name=self._name)
        return True

    def _release(self) -> None:
        # Closed for good: given back to the pool the connection would keep the lock, and nobody would be active.
        if self._lock is not None:
            self._lock.invalidate()
            self._lock.close()
        self._lock = None

    def tick(self) -> None:
        """Do what is due now."""
        beats, prunes = now() - self._beat_at > _BEAT, now() - self._prune_at > _DAY
        folds = now() - self._fold_at > _FOLDS
        with transaction():
            freed = tasks.sweep()
            fired = schedules.fire_due()
            if beats:
                heartbeats.beat(self._name, "dispatcher")
                heartbeats.forget_dead()
            if prunes:
                tasks.add_task(PLATFORM_TENANT, "send", "prune", "daily")
                tasks.add_task(PLATFORM_TENANT, "send", "check_writes", "daily")
            if folds:
                tasks.add_task(PLATFORM_TENANT, "send", "fold_volumes", "hourly")
            due = tasks.count_due()
        # Only once it is committed: a tick that failed must not skip the day's pruning.
        self._beat_at = now() if beats else self._beat_at
        self._prune_at = now() if prunes else self._prune_at
        self._fold_at = now() if folds else self._fold_at
        if freed or fired:
            _logger.info("dispatched", freed=freed, fired=fired)
        for lane, count in due.items():
            queue.ring(self._settings.redis_url.get_secret_value(), lane, bells=count)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    try:
        dispatcher = Dispatcher(create_app("dispatcher"))
    except SettingsError as error:
        sys.exit(str(error))
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: dispatcher.ended.set())
    dispatcher.run()


if __name__ == "__main__":
    main()
