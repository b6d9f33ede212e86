"""The bell: a message in Redis that tells a worker to look at the tasks. It carries no data and may be lost."""

import threading
from functools import lru_cache
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from app import log

DRAIN = "jobs.drain.drain"
BELLS_PER_WORKER = 2
_logger = log.logger(__name__)


class BellJob(Job):
    """A job that can be nothing but a bell: whoever can write to Redis could else run any function (measured)."""

    @property
    def func(self) -> Any:
        if self.func_name != DRAIN or self.instance or self.kwargs or not _is_lane(self.args):
            raise PermissionError(f"Refused: only {DRAIN} with one lane may be called.")
        return super().func

    def restore(self, raw_data: Any) -> None:
        """Load from Redis; callbacks, dependencies and webhooks are refused before anything is imported."""
        super().restore(raw_data)
        names = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        if any(names) or self._dependency_ids:
            raise PermissionError("Refused: a bell has no callbacks and no dependencies.")


def _is_lane(args: Any) -> bool:
    return len(args) == 1 and args[0] in ("fast", "send", "sync")


@lru_cache(maxsize=4)
def connect(url: str) -> Redis:
    """Return the client for a Redis URL; calls give up after two seconds."""
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def queue_of(lane: str, connection: Redis) -> Queue:
    """Return RQ's queue of a lane."""
    return Queue(lane, connection=connection, job_class=BellJob, serializer=JSONSerializer, default_timeout=90)


def ring(url: str, lane: str, *, bells: int = 1) -> None:
    """Put up to `bells` bells into a lane, never more than two for each worker. Redis gone: the dispatcher rings later."""
    try:
        connection = connect(url)
        queue = queue_of(lane, connection)
        room = BELLS_PER_WORKER * max(1, Worker.count(queue=queue)) - queue.count
        for _ in range(min(bells, room)):
            queue.enqueue_call(DRAIN, args=(lane,), result_ttl=0, failure_ttl=3600, description="bell")
    except (RedisError, OSError) as error:
        _logger.warning("bell not rung", lane=lane, error=type(error).__name__)


class Bell:
    """Rings from a thread of its own, for a path that must not wait for Redis: many calls at once are one look there.

    A call that comes after a look has begun causes another one, so no task is left without a bell.
    """

    def __init__(self, url: str) -> None:
        self._url, self._lock, self._asked = url, threading.Lock(), threading.Event()
        self._lanes: set[str] = set()
        self._thread: threading.Thread | None = None

    def ring(self, lane: str) -> None:
        """Have a lane rung soon; returns at once."""
        with self._lock:
            self._lanes.add(lane)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
        self._asked.set()

    def _work(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            with self._lock:
                lanes, self._lanes = self._lanes, set()
            for lane in lanes:
                ring(self._url, lane)
