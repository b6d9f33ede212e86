"""`make run`: everything on one machine, until Ctrl-C."""

import fcntl
import importlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import IO

from app.devstack.process import Child, StackError, fork, spawn, stop
from app.devstack.stack import Stack

VENDOR_PORT = int(os.environ.get("SANDBOX_PORT", "8100"))
_COLOURS = {"web": 36, "dispatcher": 35, "fast": 32, "send": 32, "sync-1": 33, "sync-2": 33, "sandbox": 34}


class Supervisor:
    """Starts the processes, passes on their output with a prefix, restarts one that dies, stops all together."""

    def __init__(self, stack: Stack, port: int) -> None:
        self._stack, self._port = stack, port
        self._children: dict[str, Child] = {}
        self._deaths: dict[str, int] = {}
        self.ending = threading.Event()

    def commands(self) -> dict[str, list[str]]:
        """Return name -> command of every process."""
        python = sys.executable
        callback = f"http://localhost:{self._port}/oauth/callback/sandbox"
        found = {
            "web": [python, "-m", "gunicorn", "-c", "python:app.devstack.gunicorn", "-b", f"127.0.0.1:{self._port}", "wsgi:app"],
            "dispatcher": [python, "-m", "jobs.dispatcher"],
            "fast": [python, "-m", "jobs.worker", "fast"],
            "send": [python, "-m", "jobs.worker", "send"],
            "sync-1": [python, "-m", "jobs.worker", "sync"],
            "sync-2": [python, "-m", "jobs.worker", "sync"],
        }  # fmt: skip
        if Path("connectors/sandbox/vendor").exists():
            found["sandbox"] = [
                python, "-m", "connectors.sandbox.vendor", "--port", str(VENDOR_PORT), "--data",
                str(self._stack.data / "sandbox"), "--redirect-uri", callback,
                "--redirect-uri", callback.replace("localhost", "127.0.0.1"),
            ]  # fmt: skip
        return found

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of one process; only workers get the private key."""
        private = name in ("fast", "send") or name.startswith("sync")
        base = {
            key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "PATCHBAY_TOKEN_KEY_FILE")
        }
        defaults = {
            "PATCHBAY_PROFILE": "development", "PATCHBAY_BASE_URL": f"http://localhost:{self._port}",
            "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8,::1/128", "PATCHBAY_LOG_FORMAT": "text",
            "PATCHBAY_MAILBOX_DIR": str(self._stack.data / "mailbox"),
            "PATCHBAY_SANDBOX_URL": f"http://localhost:{VENDOR_PORT}", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        return {**defaults, **base, **self._stack.environment(private_key=private)}

    def prepare(self) -> None:
        """Bring the database up to date and put the demo data in."""
        env = {**self.environment("owner"), "PATCHBAY_PROCESS": "owner", "PATCHBAY_LOG_LEVEL": "WARNING"}
        self._command(["db", "upgrade"], env)
        self._stack.set_passwords()
        self._command(["demo", "seed"], env)

    def _command(self, words: list[str], env: dict[str, str]) -> None:
        child = fork([sys.executable, "-m", "flask", "--app", "wsgi", *words], env=env)
        for line in child.stdout:
            say(line.decode("utf-8", "replace").rstrip("\n"))
        if child.wait():
            raise StackError(f"`flask {' '.join(words)}` failed; its message stands above.")

    def start_all(self) -> None:
        """Start every process as a fork of this one: eight interpreters that import the same would take 5 s."""
        commands = self.commands()
        self._children = {name: fork(command, env=self.environment(name)) for name, command in commands.items()}
        for name, child in self._children.items():
            self._show(name, child)

    def start_again(self, name: str) -> None:
        """Start one process anew, from nothing: this process has threads by now."""
        child = spawn(self.commands()[name], env=self.environment(name), output=subprocess.PIPE)
        self._children[name] = child
        self._show(name, child)

    def _show(self, name: str, child: Child) -> None:
        threading.Thread(target=_prefix, args=(name, child.stdout), daemon=True).start()

    def watch(self) -> None:
        """Wait for the end; a process that dies meanwhile is started again, later each time."""
        while not self.ending.wait(0.5):
            for name, child in list(self._children.items()):
                if child.poll() is not None and not self.ending.is_set():
                    deaths = self._deaths[name] = self._deaths.get(name, 0) + 1
                    say(f"{name} ended with {child.returncode}; it is started again.")
                    if not self.ending.wait(min(2.0**deaths, 30)):
                        self.start_again(name)

    def stop(self) -> None:
        """Stop all processes together: ten seconds to hand their work back, then they are killed."""
        for child in self._children.values():
            if child.poll() is None:
                child.terminate()
        ends = time.monotonic() + 10
        for child in self._children.values():
            stop(child, seconds=max(0.1, ends - time.monotonic()))

    def wait_ready(self) -> None:
        """Wait until the web process says that everything is ready; StackError after a minute."""
        ends = time.monotonic() + 60
        while time.monotonic() < ends and not self.ending.is_set():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        if not self.ending.is_set():
            raise StackError("Patchbay did not become ready within a minute; the messages above say why.")


def say(text: str) -> None:
    """Print a line of our own."""
    print(text, flush=True)


def _prefix(name: str, lines: IO[bytes]) -> None:
    colour = _COLOURS.get(name, 37)
    mark = f"\033[{colour}m{name:>10} |\033[0m " if sys.stdout.isatty() else f"{name:>10} | "
    for line in lines:
        sys.stdout.write(mark + line.decode("utf-8", "replace").rstrip("\n") + "\n")
        sys.stdout.flush()


def _import_all() -> None:
    # By name: the application itself knows no jobs, and none of this is needed when one process is started alone.
    application = importlib.import_module("app")
    for module in ("flask.cli", "gunicorn.app.wsgiapp", "jobs.drain", *application.VIEWS):
        importlib.import_module(module)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            name = "SANDBOX_PORT" if port == VENDOR_PORT else "PORT"
            raise StackError(
                f"Port {port} is taken: stop what uses it, or choose another with {name}={port + 1}."
            ) from None


def hold(data: Path) -> IO[str]:
    """Hold a data directory until the returned file is closed; StackError while another process does."""
    data.mkdir(parents=True, exist_ok=True)
    handle = (data / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StackError(
            f"Patchbay already runs on {data}: stop it, or choose another folder with PATCHBAY_DATA."
        ) from None
    return handle


def run() -> None:
    """Start everything and stay until told to stop."""
    began = time.monotonic()
    port = int(os.environ.get("PORT", "8000"))
    data = Path(os.environ.get("PATCHBAY_DATA", ".data")).resolve()
    held = hold(data)
    _check_port(port)
    stack = Stack(data, os.environ)
    supervisor = Supervisor(stack, port)

    def end(_signal: int, _frame: FrameType | None) -> None:
        supervisor.ending.set()

    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, end)
    if "sandbox" in supervisor.commands():
        _check_port(VENDOR_PORT)
    try:
        stack.start()
        _import_all()
        supervisor.prepare()
        supervisor.start_all()
        supervisor.wait_ready()
        if not supervisor.ending.is_set():
            say(_welcome(port, time.monotonic() - began))
        supervisor.watch()
    finally:
        say("Stopping.")
        supervisor.stop()
        stack.stop()
        held.close()


def _welcome(port: int, seconds: float) -> str:
    return f"""
  Patchbay is ready after {seconds:.1f} s:   http://localhost:{port}

  Demo accounts (one click on the sign-in page; password patchbay-demo)
    maja@aldgate.example      owner of Aldgate Joinery
    operator@patchbay.example operator of this deployment
  Sandbox CRM, the vendor to try it with:  http://localhost:{VENDOR_PORT}
  Ctrl-C stops everything; the data stays in {os.environ.get("PATCHBAY_DATA", ".data")}.
"""


if __name__ == "__main__":
    try:
        run()
    except StackError as problem:
        sys.exit(str(problem))
