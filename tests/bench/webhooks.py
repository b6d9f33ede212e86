"""Webhooks in: answered a second against the yardstick, how long until one is applied, and a storm beside syncs.

`python -m tests.bench webhooks`. The yardstick is hook_yardstick.py under the same gunicorn, and the sender is a process of
its own (hook_sender.py), so both sides get the same bytes from the same program.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask

from app import create_app
from app.config import load_settings
from app.devstack.process import spawn, stop
from app.devstack.stack import Stack
from app.services import runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.bench.site import ratio, started
from tests.connectors.sandbox.running import Running
from tests.factories.endpoints import Hook, make_hook
from tests.processes import ROOT, Processes, free_port, refuse_web, wait_for

PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "2000"))
STORM = int(os.environ.get("BENCH_STORM", "12000"))
IDLE = 60
# So often the database is taken from web during the storm, for so many seconds each time.
OUTAGES, OUTAGE = 3, 2.0
REACH, REACH_IDLE = 0.8, 0.3


class Site:
    """A web process, its yardstick, and an installation of a Sandbox CRM that runs here."""

    def __init__(self, stack: Stack) -> None:
        assert stack.postgres is not None
        assert stack.valkey is not None
        environment = {
            **stack.environment(private_key=True), "PATCHBAY_PROFILE": "test", "PATCHBAY_LOG_LEVEL": "ERROR",
            "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8",
        }  # fmt: skip
        env = {**os.environ, **environment, "PATCHBAY_PROCESS": "owner"}
        subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        self.apps: dict[str, Flask] = {kind: create_app(kind, load_settings(environment)) for kind in ("web", "owner")}  # type: ignore[arg-type]
        self.processes = Processes(environment, Path(tempfile.mkdtemp(prefix="patchbay-bench-log-")) / "log")
        self.owner: psycopg.Connection[Any] = psycopg.connect(stack.postgres.url(), autocommit=True)
        self.vendor = Running()
        self.vendor.store.on_change = lambda *_: None
        self.hook = self.install()
        self.first = 1

    def install(self) -> Hook:
        return make_hook(self.apps, server=self.vendor.origin, token=self.vendor.access())

    def send(self, port: int, records: list[str], **options: Any) -> dict[str, Any]:
        """Send an event for each record; return what the sender measured."""
        work = {
            "path": self.hook.path, "secret": self.hook.secret, "records": records, "first": self.first, **options,
        }  # fmt: skip
        self.first += len(records)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.hook_sender", str(port)], input=json.dumps(work), text=True,
            capture_output=True, check=True, cwd=ROOT,
        )  # fmt: skip
        return dict(json.loads(done.stdout))

    def ask(self, query: str, *values: Any) -> Any:
        row = self.owner.execute(query, values).fetchone()
        return row[0] if row else None

    def make(self, count: int) -> list[str]:
        """Make new contacts at the vendor, without its telling anybody."""
        return [
            self.vendor.store.save("contacts", None, {"firstname": f"S{n}", "email": f"s{n}.{self.first}@x.test"})["id"]
            for n in range(count)
        ]

    def stop(self) -> None:
        self.processes.stop()
        self.vendor.stop()
        self.owner.close()


@contextmanager
def yardstick(site: Site) -> Iterator[int]:
    """The yardstick's server; yields its port."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:app.devstack.gunicorn",
        "-w",
        "1",
        "-b",
        f"127.0.0.1:{port}",
    ]
    child = spawn([*command, "tests.bench.hook_yardstick:app"], env=site.processes.environment, cwd=ROOT)
    try:
        yield port
    finally:
        stop(child)


def answered(site: Site) -> None:
    """Print answered a second as a ratio to the yardstick, and p99."""
    site.processes.start("web")
    with yardstick(site) as port:
        records = [f"none-{number}" for number in range(REQUESTS)]
        for warm in (port, site.processes.port):
            site.send(warm, records[:200])
        ours, theirs, slow = [], [], []
        for _ in range(PAIRS):
            theirs.append(REQUESTS / site.send(port, records)["seconds"])
            found = site.send(site.processes.port, records)
            ours.append(REQUESTS / found["seconds"])
            slow.append(found["p99"])
            site.owner.execute(
                "DELETE FROM tasks WHERE lane = 'fast'; DELETE FROM hints; DELETE FROM deliveries WHERE verdict <> 'accepted'"
            )
    print(f"answered/s: {statistics.median(ours):,.0f}, yardstick {statistics.median(theirs):,.0f}, "
          f"ratio {ratio(ours, theirs)}, to reach {REACH}; p99 {statistics.median(slow) * 1000:.0f} ms")  # fmt: skip
    lost = PAIRS * REQUESTS + 200 - site.ask("SELECT count(*) FROM deliveries WHERE event_id LIKE 'evt_%%'")
    print(f"LOST {lost}/{PAIRS * REQUESTS + 200}")


def applied(site: Site) -> None:
    """Print how long it takes from an event to its effect while nothing else is going on."""
    site.owner.execute("DELETE FROM tasks WHERE lane = 'fast'; DELETE FROM hints")
    site.processes.start("dispatcher", "fast-1")
    site.send(site.processes.port, site.make(1), connections=1)
    wait_for(lambda: site.ask("SELECT count(*) FROM hints WHERE state <> 'waiting'") == 1, about="the first one")
    took = []
    for number in range(IDLE):
        (record,) = site.make(1)
        site.send(site.processes.port, [record], connections=1)
        wait_for(lambda n=number: site.ask("SELECT count(*) FROM hints WHERE state = 'applied'") == n + 2, every=0.02)
        took.append(site.ask(
            "SELECT extract(epoch FROM h.settled_at - d.created_at)::float FROM hints h JOIN deliveries d "
            "ON d.id = h.delivery_id ORDER BY h.id DESC LIMIT 1"
        ))  # fmt: skip
        time.sleep(0.2)
    found = statistics.quantiles(took, n=20)
    print(f"webhook to applied, idle: p50 {found[9] * 1000:.0f} ms, p95 {found[18] * 1000:.0f} ms, "
          f"to stay under {REACH_IDLE * 1000:.0f} ms")  # fmt: skip


def storm(site: Site) -> None:
    """Print what becomes of many distinct events while other installations sync; the sender repeats what is 503."""
    site.processes.start("sync-1", "sync-2")
    # Its own first load is over, so what the storm tells of is known from the storm alone.
    under_way = "SELECT count(*) FROM runs WHERE state IN ('queued', 'running')"
    wait_for(lambda: not site.ask(under_way), 120, about="the first load")
    others = [site.install() for _ in range(3)]
    records = site.make(STORM)
    before = site.ask("SELECT count(*) FROM links")
    site.owner.execute("DELETE FROM hints")
    began = time.perf_counter()
    for other in others:
        with site.apps["web"].app_context(), bind_tenant(other.tenant_id), transaction():
            runs.start_run(other.tenant_id, other.installation_id, trigger="manual", mode="full")
    with ThreadPoolExecutor(1) as pool:
        outages = pool.submit(_outages, site)
        found = site.send(site.processes.port, records, type="created", connections=16)
        outages.result()
    answering = found["seconds"]
    wait_for(
        lambda: not site.ask("SELECT count(*) FROM hints WHERE state = 'waiting'"), 900, every=1, about="the storm"
    )
    took = time.perf_counter() - began
    done = site.ask("SELECT count(*) FROM hints WHERE state = 'applied'")
    linked = site.ask(
        "SELECT count(*) FROM links WHERE external_id = ANY(%s) AND tenant_id = %s", records, site.hook.tenant_id
    )
    refused = found["statuses"].get("503", 0)
    print(f"storm of {STORM:,} beside {len(others)} syncs: answered {STORM / answering:,.0f}/s, p99 {found['p99'] * 1000:.0f} ms, "
          f"{OUTAGES} outages of {OUTAGE:.0f} s: {refused:,} times 503, {found['repeated']:,} sent again, "
          f"statuses {found['statuses']}, applied {done:,} ({linked:,} records), {STORM / took:,.0f}/s sustained over {took:.0f} s; "
          f"links before {before:,}")  # fmt: skip


def _outages(site: Site) -> None:
    """Take the database from web several times, each when another part of the storm has been stored."""
    stored = "SELECT count(*) FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE e.installation_id = %s"
    began = site.ask(stored, site.hook.installation_id)
    for number in range(1, OUTAGES + 1):
        part = began + STORM * number // (OUTAGES + 1)
        wait_for(
            lambda part=part: site.ask(stored, site.hook.installation_id) >= part, 900, about="a part of the storm"
        )
        refuse_web(site.owner, OUTAGE)


def main() -> None:
    """Run the three."""
    with started() as stack:
        site = Site(stack)
        try:
            answered(site)
            applied(site)
            storm(site) if STORM else None
        finally:
            site.stop()


if __name__ == "__main__":
    main()
