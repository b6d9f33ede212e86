"""A lane of tasks to test with, and threads that begin at the same moment."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from flask import Flask

from app.queue import connect, queue_of
from app.services import tasks
from app.services.tasks import Done, LeasedTask, Outcome
from app.tenancy import bind_tenant
from app.transaction import transaction

Owner = psycopg.Connection[Any]


class Lane:
    """The lane `sync` as processes use it: every act a transaction of its own, from any thread."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self._web, self._worker, self._dispatcher = apps["web"], apps["worker"], apps["dispatcher"]
        self._owner = owner
        self._redis = connect(apps["web"].extensions["settings"].redis_url.get_secret_value())

    def add(
        self, tenant_id: uuid.UUID, key: str = "one", lane: str = "sync", kind: str = "sync", **options: Any
    ) -> None:
        with self._web.app_context(), bind_tenant(tenant_id), transaction():
            tasks.add_task(tenant_id, lane, kind, key, **options)

    def claim(self, worker: str = "w", *, lane: str = "sync") -> LeasedTask | None:
        with self._worker.app_context(), transaction():
            return tasks.claim(lane, worker)

    def take(self) -> LeasedTask:
        found = self.claim()
        assert found is not None
        return found

    def end(self, task: LeasedTask, outcome: Outcome | None = None) -> None:
        self.act(task, lambda: tasks.end(task, outcome or Done()))

    def act(self, task: LeasedTask, what: Callable[[], Any]) -> None:
        with self._worker.app_context(), bind_tenant(task.tenant_id), transaction():
            what()

    @contextmanager
    def bound(self, task: LeasedTask) -> Iterator[None]:
        with self._worker.app_context(), bind_tenant(task.tenant_id):
            yield

    def sweep(self) -> int:
        with self._dispatcher.app_context(), transaction():
            return tasks.sweep()

    def expire(self) -> None:
        self._owner.execute("UPDATE tasks SET lease_until = now() - interval '1 s' WHERE state = 'leased'")

    def pull_forward(self) -> None:
        self._owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")

    def bells(self) -> int:
        return int(queue_of("sync", self._redis).count)

    def empty_redis(self) -> None:
        self._redis.flushdb()

    def row(self, *columns: str) -> tuple[Any, ...]:
        row = self._owner.execute(
            f"SELECT {', '.join(columns)} FROM tasks WHERE lane = 'sync' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        assert row is not None
        return tuple(row)

    def count(self, where: str = "true") -> int:
        row = self._owner.execute(f"SELECT count(*) FROM tasks WHERE {where}").fetchone()
        assert row is not None
        return int(row[0])


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Return what `work` answered in each of `count` threads that began at the same moment."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))
