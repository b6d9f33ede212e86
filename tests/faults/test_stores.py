"""Redis emptied, PostgreSQL stopped as by a crash, a foreign job in Redis (F08, F12, F13)."""

import json
import time
import zlib
from pathlib import Path

import redis

from app.queue import queue_of
from tests.faults.conftest import Site
from tests.processes import wait_for


def test_redis_emptied_and_restarted_empty(site: Site) -> None:
    """FLUSHALL, then a new empty server, in the middle of a run. Red when the work is in Redis and not in the row."""
    assert site.stack.valkey is not None
    site.processes.start("sync-1", "sync-2")
    site.activate()
    wait_for(lambda: site.pages_done() > 3, 30, every=0.02, about="progress")
    redis.Redis.from_url(site.stack.valkey.url()).flushall()
    before = site.pages_done()
    wait_for(lambda: site.pages_done() > before + 3 or site.state() == "done", 30, every=0.02, about="progress")
    site.stack.valkey.stop(kill=True)
    time.sleep(1)
    site.stack.valkey.start()
    wait_for(lambda: site.state() == "done", 60, about="the run to end")
    assert site.check() == site.expected()


def test_postgres_stopped_as_by_a_crash(site: Site) -> None:
    """An immediate stop and a start. Red when page and checkpoint are not one transaction."""
    assert site.stack.postgres is not None
    site.processes.start("sync-1", "sync-2")
    site.activate()
    wait_for(lambda: site.pages_done() > 3, 30, every=0.02, about="progress")
    site.stack.postgres.stop(immediate=True)
    time.sleep(1)
    site.stack.postgres.start()
    wait_for(lambda: site.state() == "done", 60, about="the run to end")
    found = site.check()
    assert found == site.expected()


def test_a_foreign_job_in_redis_is_refused(site: Site, tmp_path: Path) -> None:
    """Write access to Redis must not be code execution. Red without the allow-list in BellJob."""
    assert site.stack.valkey is not None
    site.processes.start("sync-1")
    connection = redis.Redis.from_url(site.stack.valkey.url())
    marker = tmp_path / "marker"
    calls = [
        ("os.system", [f"touch {marker}"]),
        ("subprocess.call", [["touch", str(marker)]]),
        ("jobs.drain.drain", ["no lane"]),
    ]
    for number, (name, args) in enumerate(calls):
        data = zlib.compress(json.dumps([name, None, args, {}]).encode())
        connection.hset(
            f"rq:job:evil{number}",
            mapping={"data": data, "created_at": "2026-11-24T00:00:00.000000Z", "origin": "sync", "status": "queued"},
        )
        connection.rpush(queue_of("sync", connection).key, f"evil{number}")
    wait_for(lambda: connection.llen(queue_of("sync", connection).key) == 0, 20, about="the queue to be read")
    site.activate()
    wait_for(lambda: site.state() == "done", 60, about="a good run afterwards")
    assert not marker.exists()
    print(f"\nREFUSED {len(calls)}")
