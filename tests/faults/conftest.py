"""A stack of its own for each fault test: it is killed and emptied."""

import fcntl
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import create_app
from app.config import load_settings
from app.devstack.stack import Stack
from app.extensions import limiter
from app.services import runs
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import PASSWORD, Kinto, contact
from tests.factories.tenants import activate, connect_kinto, make_tenant
from tests.processes import ROOT, Processes, wait_for

PAGE = 10


@dataclass
class Site:
    """A deployment with one Kinto installation that is connected and not yet activated."""

    stack: Stack
    apps: dict[str, Flask]
    processes: Processes
    kinto: Kinto
    records: int
    tenant_id: uuid.UUID = PLATFORM_TENANT
    installation_id: uuid.UUID = PLATFORM_TENANT

    def ask(self, query: str) -> Any:
        """Return the first row of a query, as the owner."""
        assert self.stack.postgres is not None
        with psycopg.connect(self.stack.postgres.url()) as connection:
            return connection.execute(query).fetchone()

    def activate(self) -> None:
        """Start the first run."""
        with self.apps["web"].app_context():
            activate(self.tenant_id, self.installation_id)

    def run_again(self) -> None:
        """Start another run."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            runs.start_run(self.tenant_id, self.installation_id, trigger="manual")

    def pages_done(self) -> int:
        """Return how many pages have been applied."""
        return int(self.ask("SELECT coalesce(sum(pages), 0) FROM run_streams")[0])

    def state(self) -> str:
        """Return the state of the newest run."""
        return str(self.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1")[0])

    def check(self) -> dict[str, int]:
        """Return the counts every fault test asserts: nothing lost, nothing applied twice."""
        # A run is done a moment before the task that made it.
        leased = "SELECT count(*) FROM tasks WHERE state = 'leased'"
        wait_for(lambda: self.ask(leased)[0] == 0, 20, about="the tasks under way")
        row = self.ask(
            "SELECT (SELECT count(*) FROM records WHERE deleted_at IS NULL), (SELECT count(*) FROM changes), "
            "(SELECT count(DISTINCT external_id) FROM links), (SELECT sum(read) FROM run_streams), "
            "(SELECT sum(pages) FROM run_streams), (SELECT count(*) FROM tasks WHERE state IN ('leased', 'dead'))"
        )
        found = dict(zip(("records", "changes", "links", "read", "pages", "stuck"), map(int, row), strict=True))
        print(f"\nLOST {self.records - found['records']}/{self.records} DUP {found['changes'] - found['records']} "
              f"PAGES {found['pages']} STUCK {found['stuck']}")  # fmt: skip
        return found

    def expected(self) -> dict[str, int]:
        """Return what `check` must find after one whole first load: every page applied exactly once."""
        n = self.records
        return {"records": n, "changes": n, "links": n, "read": n, "pages": n // PAGE + 1, "stuck": 0}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with every migration applied, made once for all tests; each site starts on a copy of it."""
    folder = tmp_path_factory.getbasetemp().parent / "prepared"
    with (folder.parent / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            stack = Stack(folder.with_suffix(".new"), {})
            stack.start()
            env = {**os.environ, **stack.environment(private_key=True), "PATCHBAY_PROCESS": "owner"}
            command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
            subprocess.run(command, check=True, cwd=ROOT, env={**env, "PATCHBAY_LOG_LEVEL": "WARNING"})
            stack.stop()
            folder.with_suffix(".new").rename(folder)
    return folder


@pytest.fixture
def site(tmp_path: Path, prepared: Path) -> Iterator[Site]:
    """The deployment; workers are started by the test."""
    shutil.copytree(prepared, tmp_path / "data")
    stack = Stack(tmp_path / "data", {})
    stack.start()
    assert stack.postgres is not None
    environment = {
        **stack.environment(private_key=True), "PATCHBAY_PROFILE": "test", "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8",
        "PATCHBAY_LEASE_SECONDS": "1.5", "PATCHBAY_TICK_SECONDS": "0.2", "PATCHBAY_SLICE_SECONDS": "5",
        "PATCHBAY_LOG_LEVEL": "WARNING",
    }  # fmt: skip
    # A stopped worker's transaction is ended by PostgreSQL; sooner here than the role's own half minute.
    with psycopg.connect(stack.postgres.url(), autocommit=True) as connection:
        for name in ("transaction_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"ALTER ROLE patchbay_worker SET {name} = '4s'")
    # A second web application takes over the limiter of the first, which would go on with a store that is gone.
    throttle = dict(vars(limiter))
    apps = {kind: create_app(kind, load_settings(environment)) for kind in ("web", "owner")}  # type: ignore[arg-type]
    kinto = Kinto(tmp_path, page=PAGE).start()
    records = 4000 if os.environ.get("PATCHBAY_SOAK") else 1200
    kinto.put_all("contacts", [contact(n) for n in range(records)])
    found = Site(stack, apps, Processes(environment, tmp_path / "log"), kinto, records)
    found.tenant_id = make_tenant(apps)
    with apps["web"].app_context():
        found.installation_id = connect_kinto(found.tenant_id, kinto.origin, PASSWORD)
    found.processes.start("dispatcher", "fast-1")
    wait_for(lambda: found.ask("SELECT state FROM connections")[0] == "ready", about="the connection test")
    yield found
    vars(limiter).update(throttle)
    found.processes.stop()
    kinto.stop()
    for flask_app in apps.values():
        with flask_app.app_context():
            from app.db import db

            db.engine.dispose()
    stack.stop()
