"""One tenant with 5,000 tasks of 5 ms beside 49 with 10 each, four workers: how long the small ones wait.

Our claim takes the tenant first; the yardstick is a queue that takes the oldest row. All else is the same: the same
worker processes, and the real code around the claim. `python -m tests.bench.fairness` prints both.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from app.db import db
from app.devstack.process import spawn, stop
from app.devstack.stack import Stack
from app.services import tasks
from app.services.tasks import Done, LeasedTask, Outcome
from jobs import drain as drain_module
from jobs.drain import Slice
from jobs.kinds import KINDS
from tests.processes import ROOT, wait_for

PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
BIG, SMALL, EACH, WORKERS = int(os.environ.get("BENCH_TASKS", "5000")), 49, 10, 4
REACH = 1.5
_MODES = ("tenant", "fifo")
_BIG_ID = uuid.UUID(int=1)
# What a plain queue in PostgreSQL does: the oldest due row that nobody else has. A function of the role that crosses
# tenants, as claim_task is.
_OLDEST = """
CREATE FUNCTION claim_oldest(p_lane text, p_worker text, p_lease double precision)
RETURNS TABLE (task_tenant uuid, task_id uuid, task_token bigint, task_kind text, task_key text, task_ref uuid,
    task_attempts int, task_max_attempts int)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE tasks SET state = 'leased', lease_token = lease_token + 1, attempts = attempts + 1, leased_by = p_worker,
        lease_until = clock_timestamp() + make_interval(secs => p_lease)
    WHERE (tenant_id, id) = (
        SELECT tenant_id, id FROM tasks WHERE lane = p_lane AND state = 'ready' AND due_at <= clock_timestamp()
        ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING tenant_id, id, lease_token, kind, key, ref, attempts, max_attempts
$$;
GRANT CREATE ON SCHEMA public TO patchbay_lookup;
ALTER FUNCTION claim_oldest OWNER TO patchbay_lookup;
REVOKE CREATE ON SCHEMA public FROM patchbay_lookup;
"""


@dataclass(frozen=True)
class Served:
    """How the small tenants were served: p95 of the wait to the end of a task in seconds, and what the big one got."""

    p95: float
    rate: float
    big_before: int


def nap(_task: LeasedTask, _slice: Slice) -> Outcome:
    """Work for 5 ms."""
    time.sleep(0.005)
    return Done()


def work(switch: Path) -> None:
    """Be a worker that drains the lane as the file `switch` says, until it is killed."""
    KINDS["nap"] = "tests.bench.fairness:nap"
    claims = {"tenant": tasks.claim, "fifo": _oldest}

    def claim(lane: str, worker: str) -> LeasedTask | None:
        found = claims.get(switch.read_text())
        return found(lane, worker) if found else None

    tasks.claim = claim
    drain_module.worker_app()
    switch.with_name(f"ready-{os.getpid()}").touch()
    while True:
        drain_module.drain("sync")
        time.sleep(0.02)  # As long as a bell takes, about; asking all the time would slow the others.


def _oldest(lane: str, worker: str) -> LeasedTask | None:
    query = text("SELECT * FROM claim_oldest(:lane, :worker, 30)")
    row = db.session.execute(query, {"lane": lane, "worker": worker}).first()
    return LeasedTask(row[0], row[1], row[2], lane, row[3], row[4], row[5], row[6], row[7]) if row else None


@contextmanager
def workers(
    sql: psycopg.Connection[Any], environment: Mapping[str, str], folder: Path, count: int = WORKERS
) -> Iterator[Path]:
    """Run worker processes; give the file that tells them how to claim."""
    switch = folder / "switch"
    switch.write_text("wait")
    sql.execute(_OLDEST)
    env = {**os.environ, **environment, "PATCHBAY_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "tests.bench.fairness", str(switch)]
    running = [spawn(command, env=env, cwd=ROOT) for _ in range(count)]
    try:
        wait_for(lambda: len(list(folder.glob("ready-*"))) == count, 60, about="the workers")
        yield switch
    finally:
        for child in running:
            stop(child, signal.SIGKILL)
        sql.execute("DROP FUNCTION claim_oldest")


def serve(
    sql: psycopg.Connection[Any], switch: Path, mode: str, *, big: int = BIG, small: int = SMALL, each: int = EACH
) -> Served:
    """Let the workers do `big` tasks of one tenant and `each` of `small` others, which came just after them."""
    _load(sql, big, small, each)
    switch.write_text(mode)
    query = "SELECT count(*) FROM tasks WHERE state <> 'done'"
    wait_for(lambda: sql.execute(query).fetchone() == (0,), 300, every=0.2, about="the tasks")
    switch.write_text("wait")
    row = sql.execute(
        "WITH s AS (SELECT * FROM tasks WHERE tenant_id <> %(big)s) SELECT "
        "(SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - due_at)) FROM s), "
        "(SELECT count(*) / extract(epoch FROM max(finished_at) - min(due_at)) FROM tasks), "
        "(SELECT count(*) FROM tasks WHERE tenant_id = %(big)s AND finished_at < (SELECT max(finished_at) FROM s))",
        {"big": _BIG_ID},
    ).fetchone()
    assert row is not None
    return Served(float(row[0]), float(row[1]), int(row[2]))


def _load(sql: psycopg.Connection[Any], big: int, small: int, each: int) -> None:
    tenants = [_BIG_ID] * big + [uuid.UUID(int=10 + number) for number in range(small) for _ in range(each)]
    with sql.transaction():
        sql.execute("TRUNCATE tasks, task_gates")
        sql.execute(
            "INSERT INTO tasks (tenant_id, id, lane, kind, key, due_at) SELECT tenant, gen_random_uuid(), 'sync', 'nap', "
            "place::text, clock_timestamp() FROM unnest(%s::uuid[]) WITH ORDINALITY AS t(tenant, place) ORDER BY t.place",
            (tenants,),
        )
        sql.execute("INSERT INTO task_gates (tenant_id, lane) SELECT DISTINCT tenant_id, 'sync' FROM tasks")


def main() -> None:
    """Run the pairs and print what came of them."""
    stack = Stack(Path(tempfile.mkdtemp(prefix="patchbay-fairness-")), {})
    stack.start()
    assert stack.postgres is not None
    environment = {**stack.environment(private_key=True), "PATCHBAY_PROFILE": "test"}
    env = {**os.environ, **environment, "PATCHBAY_PROCESS": "owner", "PATCHBAY_LOG_LEVEL": "ERROR"}
    subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"], env=env, cwd=ROOT, check=True)
    found: dict[str, list[Served]] = {mode: [] for mode in _MODES}
    try:
        with (
            psycopg.connect(stack.postgres.url(), autocommit=True) as sql,
            workers(sql, environment, Path(tempfile.mkdtemp())) as switch,
        ):
            for number in range(PAIRS):
                for mode in _MODES if number % 2 else _MODES[::-1]:
                    found[mode].append(serve(sql, switch, mode))
    finally:
        stack.stop()
    _table(found["tenant"], found["fifo"])


def _table(ours: list[Served], theirs: list[Served]) -> None:
    print(f"\nsmall tenants' p95: {SMALL} with {EACH} tasks of 5 ms beside one with {BIG:,}, {WORKERS} workers, "
          f"medians of {PAIRS} interleaved pairs (spread)")  # fmt: skip
    for name, rows in (("tenant first", ours), ("oldest first (yardstick)", theirs)):
        waits = [row.p95 for row in rows]
        rate = statistics.median(row.rate for row in rows)
        print(
            f"{name:<28} {statistics.median(waits):>6.2f} s  ({min(waits):.2f}-{max(waits):.2f})   {rate:,.0f} tasks/s"
        )
    ratios = [b.p95 / a.p95 for a, b in zip(ours, theirs, strict=True)]
    reached = "reached" if statistics.median(row.p95 for row in ours) <= REACH else "NOT REACHED"
    print(f"{'shorter by':<28} {statistics.median(ratios):>6.1f} x  ({min(ratios):.1f}-{max(ratios):.1f})   "
          f"to reach: {REACH} s, {reached}", flush=True)  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 2:
        work(Path(sys.argv[1]))
    else:
        main()
