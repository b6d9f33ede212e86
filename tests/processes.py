"""The real processes of Patchbay, started, killed and stopped by tests."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import requests

from app.devstack.process import spawn, stop

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 30, *, every: float = 0.1, about: str = "") -> Any:
    """Return the first true answer of `what`; fail after `seconds`."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = what()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"not within {seconds} s: {about or what}")


def refuse_web(owner: psycopg.Connection[Any], seconds: float) -> None:
    """Take PostgreSQL away from the web processes alone: their connections end, and they get no new ones for a while."""
    owner.execute("ALTER ROLE patchbay_web NOLOGIN")
    try:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            # Again and again: one that was being opened may have got in.
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'patchbay_web'")
            time.sleep(0.2)
    finally:
        owner.execute("ALTER ROLE patchbay_web LOGIN")


class Processes:
    """Web, dispatcher and workers with one set of settings."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environment = {**os.environ, **environment, "PATCHBAY_BASE_URL": self.url, "PYTHONUNBUFFERED": "1"}
        self._log = log.open("ab")
        self._log_file = log
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start processes: web, dispatcher, or a lane with a number, as in sync-1."""
        for name in names:
            self.running[name] = spawn(self._command(name), env=self.environment, output=self._log, cwd=ROOT)
        if "web" in names:
            wait_for(self._answers, about="web")

    def _command(self, name: str) -> list[str]:
        python = sys.executable
        if name == "web":
            return [
                python,
                "-m",
                "gunicorn",
                "-c",
                "python:app.devstack.gunicorn",
                "-w",
                "1",
                "-b",
                f"127.0.0.1:{self.port}",
                "wsgi:app",
            ]
        if name == "dispatcher":
            return [python, "-m", "jobs.dispatcher"]
        return [python, "-m", "jobs.worker", name.split("-")[0]]

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/live", timeout=5).ok
        except requests.RequestException:
            return False

    def kill(self, name: str) -> None:
        """Kill a process without warning; its child dies with it."""
        child = self.running.pop(name)
        child.send_signal(signal.SIGKILL)
        child.wait()

    def horse_of(self, name: str) -> int | None:
        """Return the process id of a worker's forked child while it works."""
        parent = self.running[name].pid
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(found[0]) if found else None

    def stop(self) -> None:
        """Stop everything."""
        for child in self.running.values():
            child.terminate()
        for child in self.running.values():
            stop(child, seconds=8)
        self._log.close()

    def log(self) -> str:
        """Return what the processes have printed."""
        return self._log_file.read_text(errors="replace")


class Browser:
    """A person with a browser and no JavaScript: keeps cookies, follows redirects, sends forms with their token."""

    def __init__(self, url: str) -> None:
        self.url, self._session = url, requests.Session()
        self.page = ""

    def get(self, path: str) -> str:
        """Open a page."""
        return self._keep(self._session.get(self.url + path if path.startswith("/") else path, timeout=20))

    def post(self, path: str, data: Mapping[str, Any] | None = None) -> str:
        """Send a form of the present page."""
        token = re.search(r'name="csrf-token" content="([^"]+)"', self.page)
        assert token, "no form on this page"
        sent = {"csrf_token": token[1], **(data or {})}
        return self._keep(self._session.post(self.url + path, data=sent, headers={"Origin": self.url}, timeout=20))

    def _keep(self, answer: requests.Response) -> str:
        assert answer.status_code < 500, answer.text[:2000]
        self.status, self.at, self.page = answer.status_code, answer.url.removeprefix(self.url), answer.text
        return self.page
