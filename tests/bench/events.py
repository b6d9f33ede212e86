"""Events out: dispatches sent a second beside a bare loop of signed posts, and how fast the fan-out is.

`python -m tests.bench events`. The bare loop signs the same bytes and posts them one after the other over one kept
connection to the same receiver, with no database and no log of attempts. Ours claims, records each attempt and settles it.
"""

import os
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import urlsplit

import psycopg
import urllib3
from flask import Flask

from app import create_app
from app.config import load_settings
from app.db import db
from app.devstack.process import spawn, stop
from app.devstack.stack import Stack
from app.models.accounts import Tenant
from app.services import fan_out, subscriptions
from app.services.subscriptions import Wish
from app.sync.signatures import sign
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.bench.site import ratio, started
from tests.factories.events import write_changes
from tests.processes import ROOT, free_port, wait_for

PAIRS = int(os.environ.get("BENCH_PAIRS", "5"))
EVENTS = int(os.environ.get("BENCH_EVENTS", "3000"))


class Site:
    """A tenant with one subscription, worked on by the real worker code in this process."""

    def __init__(self, stack: Stack, url: str) -> None:
        assert stack.postgres is not None
        environment = {
            **stack.environment(private_key=True), "PATCHBAY_PROFILE": "test", "PATCHBAY_LOG_LEVEL": "ERROR",
            "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8",
        }  # fmt: skip
        env = {**os.environ, **environment, "PATCHBAY_PROCESS": "owner"}
        subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"], env=env, cwd=ROOT, check=True)
        self.worker: Flask = create_app("worker", load_settings(environment))
        drain_module.worker_app = lambda: self.worker  # type: ignore[assignment]
        self.owner = psycopg.connect(stack.postgres.url(), autocommit=True)
        self.tenant_id, self._worker_url = uuid.uuid4(), environment["PATCHBAY_WORKER_URL"]
        with self.worker.app_context(), bind_tenant(self.tenant_id), transaction():
            db.session.add(Tenant(id=self.tenant_id, name="Bench"))
            db.session.flush()
            _, self.secret = subscriptions.create(self.tenant_id, Wish("Bench", url, ["record.*"]))

    def write(self) -> float:
        """Write the changes and hand them on; return how many were handed on a second."""
        with psycopg.connect(self._worker_url) as connection:
            connection.execute("SELECT set_config('patchbay.tenant', %s, true)", (str(self.tenant_id),))
            write_changes(connection, self.tenant_id, EVENTS)
        self.owner.execute("VACUUM ANALYZE changes, dispatches, attempts")
        began, count = time.perf_counter(), 0
        with self.worker.app_context():
            while True:
                with bind_tenant(self.tenant_id), transaction():
                    done = fan_out.spread(self.tenant_id)
                if not done:
                    return count / (time.perf_counter() - began)
                count += done

    def send(self) -> float:
        """Send what waits; return how many were sent a second."""
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")
        began = time.perf_counter()
        drain_module.drain("send")
        took = time.perf_counter() - began
        left = self.owner.execute("SELECT count(*) FROM dispatches WHERE state <> 'delivered'").fetchone()
        assert left == (0,), left
        return EVENTS / took

    def bodies(self) -> list[tuple[str, bytes]]:
        """Return the messages as they are sent."""
        rows = self.owner.execute("SELECT event_id, body FROM dispatches ORDER BY id LIMIT %s", (EVENTS,)).fetchall()
        return [(fan_out.message_id(row[0]), row[1]) for row in rows]


def bare(url: str, secret: str, bodies: list[tuple[str, bytes]]) -> float:
    """Sign and post messages one after the other; return how many a second."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    pool = urllib3.HTTPConnectionPool(parts.hostname, parts.port, maxsize=1)
    began = time.perf_counter()
    for name, body in bodies:
        headers = sign(name, datetime.now(UTC), body, [secret]) | {"content-type": "application/json"}
        assert pool.urlopen("POST", parts.path, body=body, headers=headers, retries=False).status == 204
    return len(bodies) / (time.perf_counter() - began)


def main() -> None:
    """Print both, pair after pair."""
    port = free_port()
    receiver = spawn([sys.executable, "tests/bench/event_receiver.py", str(port)], cwd=ROOT)
    try:
        with started() as stack:
            wait_for(lambda: _answers(port), 20, about="the receiver")
            site = Site(stack, f"http://127.0.0.1:{port}/in")
            ours, theirs, spreads = [], [], []
            for _ in range(PAIRS):
                spreads.append(site.write())
                ours.append(site.send())
                theirs.append(bare(f"http://127.0.0.1:{port}/in", site.secret, site.bodies()))
                print(f"fan-out {spreads[-1]:,.0f}/s, sent {ours[-1]:,.0f}/s, bare {theirs[-1]:,.0f}/s", flush=True)
            print(f"dispatches sent, ours against bare signed posts: {ratio(ours, theirs)}")
    finally:
        stop(receiver)


def _answers(port: int) -> bool:
    try:
        return urllib3.request("POST", f"http://127.0.0.1:{port}/", retries=False).status == 204
    except urllib3.exceptions.HTTPError:
        return False
