"""`make run` as people meet it: what it says when it cannot start, and that it leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from app.devstack.stack import Stack
from tests.processes import ROOT, free_port, wait_for


@pytest.fixture
def environment_of_up(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PATCHBAY_DATA": str(tmp_path / "data"),
        "PORT": str(free_port()), "SANDBOX_PORT": str(free_port()),
    }  # fmt: skip


@pytest.fixture
def up(environment_of_up: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "app.devstack.up"], cwd=ROOT, env=environment_of_up, stdout=log, stderr=log
        )
    wait_for(lambda: "is ready after" in (tmp_path / "log").read_text() or child.poll() is not None, 60, about="ready")
    assert child.poll() is None, (tmp_path / "log").read_text()
    yield child
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        child.wait(15)


def _says(environment: dict[str, str]) -> str:
    """Return the only line that a start which cannot work prints."""
    done = subprocess.run(
        [sys.executable, "-m", "app.devstack.up"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line != "Stopping."]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_taken_port(environment_of_up: dict[str, str]) -> None:
    for name in ("PORT", "SANDBOX_PORT"):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", int(environment_of_up[name])))
            taken.listen()
            port = int(environment_of_up[name])
            assert _says(environment_of_up) == (
                f"Port {port} is taken: stop what uses it, or choose another with {name}={port + 1}."
            )


def test_a_database_that_cannot_be_used(environment_of_up: dict[str, str]) -> None:
    url = f"postgresql://someone:secret-word@127.0.0.1:{free_port()}/none"
    line = _says(environment_of_up | {"DATABASE_URL": url})
    assert line.startswith("DATABASE_URL cannot be used: ")
    assert "secret-word" not in line


def test_a_data_directory_that_cannot_be_used(environment_of_up: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "something").write_text("not a database")
    assert _says(environment_of_up).startswith("PostgreSQL cannot make its data directory ")


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    """`make` in a clone without a virtual environment, on a machine that has no Python 3.11."""
    for name in ("Makefile", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        ["make", "run", "PYTHON="], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode
    assert done.stdout.splitlines()[0].startswith("Patchbay needs Python 3.11 or newer, and none was found")


def test_killed_without_warning_it_leaves_no_process_and_starts_again(
    up: subprocess.Popen[bytes], environment_of_up: dict[str, str], tmp_path: Path
) -> None:
    """Red without the parent-death signal of the children."""
    port = environment_of_up["PORT"]
    assert requests.get(f"http://localhost:{port}/health/ready", timeout=5).ok
    everyone = psutil.Process(up.pid).children(recursive=True)
    assert len(everyone) > 10
    up.kill()
    up.wait()
    gone, alive = psutil.wait_procs(everyone, timeout=20)
    assert not alive, f"{len(gone)} ended"
    again = subprocess.Popen(
        [sys.executable, "-m", "app.devstack.up"], cwd=ROOT, env=environment_of_up, stdout=subprocess.PIPE, text=True
    )
    assert again.stdout
    wait_for(lambda: "is ready after" in again.stdout.readline(), 30, every=0, about="the second start")
    sockets = Stack(Path(environment_of_up["PATCHBAY_DATA"]), {}).sockets
    assert sockets.exists()
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=15)
    assert again.returncode == 0
    assert not sockets.exists(), "a directory of sockets is left behind"


def test_a_process_that_dies_is_started_again(up: subprocess.Popen[bytes], tmp_path: Path) -> None:
    children = psutil.Process(up.pid).children()
    names = {" ".join(child.cmdline()) for child in children}
    assert names
    log = tmp_path / "log"
    dispatcher = next(
        child for child in children
        if any(str(child.pid) in line and "dispatcher active" in line for line in log.read_text().splitlines())
    )  # fmt: skip
    dispatcher.kill()
    wait_for(lambda: "dispatcher ended with -9; it is started again." in log.read_text(), 10)
    wait_for(lambda: log.read_text().count("dispatcher active") == 2, 20, about="the new dispatcher")
