"""A worker of one lane: `python -m jobs.worker sync`. RQ forks a horse for each bell; the application is preloaded."""

import ctypes
import gc
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import configure_mappers

from app import log
from app.config import SettingsError
from app.db import db
from app.models.tasks import LANES
from app.queue import BellJob, connect, queue_of
from app.services import heartbeats, listings
from app.transaction import transaction
from jobs.drain import worker_app
from jobs.kinds import KINDS, handler_of

_PR_SET_PDEATHSIG = 1
_BEAT_SECONDS = 5.0
_logger = log.logger(__name__)


class LaneWorker(Worker):
    """RQ's forking worker, with children that die with it and hold no connection of their parent."""

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Prepare the forked child, then run the job."""
        parent = self.pid
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        with worker_app().app_context():
            # The parent's connections are not ours to close, only to forget (measured: 20 of 20 children spoke
            # over the parent's connection without this).
            db.engine.dispose(close=False)
        super().main_work_horse(job, queue)

    def handle_warm_shutdown_request(self) -> None:
        """Tell the child to hand its lease back now instead of at the end of its slice."""
        super().handle_warm_shutdown_request()
        if self.horse_pid:
            os.kill(self.horse_pid, signal.SIGTERM)


def collect_rarely() -> None:
    """Let the garbage collector pass over what is there for good, and look seldom: pages are many short-lived objects.

    Looking at all of them after each 700 cost a seventh of a first load [measured].
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _beat(name: str, lane: str, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_SECONDS):
        try:
            with worker_app().app_context(), transaction():
                heartbeats.beat(name, "worker", lane)
        except SQLAlchemyError as error:
            _logger.warning("heartbeat not written", error=type(error).__name__)


def preload() -> None:
    """Import what tasks need and read the manifests of the catalog: each forked child would else do it anew."""
    for kind in KINDS:
        handler_of(kind)
    listings.preload()


def main(lane: str) -> None:
    """Serve a lane until told to stop; Redis may come and go meanwhile."""
    if lane not in LANES:
        sys.exit(f"Give one of these lanes: {', '.join(LANES)}.")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        flask_app = worker_app()
    except SettingsError as error:
        sys.exit(str(error))
    configure_mappers()
    settings = flask_app.extensions["settings"]
    name = f"{lane}:{socket.gethostname()}:{os.getpid()}"
    with flask_app.app_context(), transaction():
        heartbeats.beat(name, "worker", lane)
        preload()
    collect_rarely()
    # A thread of its own process-wide state would be copied by fork: the beat thread only holds its own session.
    threading.Thread(target=_beat, args=(name, lane, threading.Event()), daemon=True).start()
    connection = connect(settings.redis_url.get_secret_value())
    options: dict[str, Any] = {"worker_ttl": 30, "maintenance_interval": 30, "log_job_description": False}
    worker = LaneWorker(
        [queue_of(lane, connection)], connection=connection, job_class=BellJob, serializer=JSONSerializer, **options
    )
    worker.work(logging_level="WARNING", with_scheduler=False)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
