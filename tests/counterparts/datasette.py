"""A real Datasette with one table, in a virtual environment of its own; the tests are skipped where there can be none."""

import fcntl
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from app.devstack.process import spawn, stop

RELEASE = "datasette==1.0a41"
ACTOR = "patchbay"
_HOME = Path(__file__).resolve().parents[2] / ".data" / "counterparts" / RELEASE.replace("==", "-")
_SECRET = "a secret of the test server"
# The table of connectors/datasette/README.md.
TABLE = """
CREATE TABLE contacts (
  id INTEGER PRIMARY KEY, reference TEXT UNIQUE, name TEXT, email TEXT, phone TEXT, company TEXT, city TEXT, country TEXT,
  deleted INTEGER NOT NULL DEFAULT 0, updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);
CREATE INDEX contacts_by_update ON contacts (updated_at);
CREATE TRIGGER contacts_changed
  AFTER UPDATE OF reference, name, email, phone, company, city, country, deleted ON contacts BEGIN
  UPDATE contacts SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE id = NEW.id;
END;
"""


def installed() -> Path:
    """Return the programs of Datasette, installing it once; skips the test when that is impossible."""
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (_HOME / "ready").exists():
            for command in (
                [sys.executable, "-m", "venv", str(_HOME / "venv")],
                [str(_HOME / "venv/bin/pip"), "install", "-q", "--disable-pip-version-check", RELEASE],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"{RELEASE} cannot be installed: {done.stderr.strip()[-200:]}")
            (_HOME / "ready").touch()
    return _HOME / "venv/bin"


class Datasette:
    """A server with a database `crm` that only its own account may see and change."""

    def __init__(self, directory: Path) -> None:
        self._bin, self._directory = installed(), directory
        self._file = directory / "crm.db"
        self._log = (directory / "datasette.log").open("wb")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> "Datasette":
        """Make the table, start, wait until it answers."""
        with sqlite3.connect(self._file) as database:
            database.executescript(TABLE)
        own = {"id": ACTOR}
        rights = {"insert-row": own, "update-row": own, "delete-row": own}
        config = self._directory / "datasette.json"
        config.write_text(json.dumps({"databases": {"crm": {"allow": own, "permissions": rights}}}))
        command = [str(self._bin / "datasette"), "serve", str(self._file), "-p", str(self.port), "-c", str(config)]
        self._child = spawn([*command, "--secret", _SECRET], output=self._log, env=dict(os.environ))
        for _ in range(300):
            try:
                requests.get(f"{self.origin}/-/versions.json", timeout=2)
                return self
            except requests.ConnectionError:
                time.sleep(0.1)
        raise RuntimeError("Datasette does not answer.")

    def token(self, actor: str = ACTOR) -> str:
        """Return an API token of an account."""
        command = [str(self._bin / "datasette"), "create-token", actor, "--secret", _SECRET]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def execute(self, statement: str, *values: object) -> None:
        """Change the table beside the server, as its owner would."""
        with sqlite3.connect(self._file, timeout=10) as database:
            database.execute(statement, values)

    def add(self, count: int) -> None:
        """Add people."""
        for number in range(count):
            self.execute(
                "INSERT INTO contacts (name, email, phone, city, updated_at) VALUES (?, ?, ?, ?, ?)", f"Person {number}",
                f"Person{number}@Example.test", f"+44 20 7946 {number:04d}", "London", f"2026-11-20T10:{number % 60:02d}:00.000Z",
            )  # fmt: skip

    def stop(self) -> None:
        """Stop the server."""
        if self._child:
            stop(self._child)
            self._child = None
