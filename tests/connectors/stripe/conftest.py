"""A live localstripe for the tests of this folder, and Stripe's own library, in a folder of their own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.devstack.process import spawn, stop
from tests.connectors.stripe.local import KEY, Front, LocalConnector

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("localstripe==1.15.10", "stripe==16.1.0")
# Without the file that it would write to /tmp at every change: nothing here is to outlive the test.
_START = """
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
server.start()
"""


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder with both packages, installed once; skips where they cannot be had."""
    kept = ROOT / ".data" / "test-packages" / "-".join(name.replace("==", "_") for name in PACKAGES)
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=kept.parent))
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(made),
        *PACKAGES,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        shutil.rmtree(made, ignore_errors=True)
        pytest.skip(f"localstripe and stripe cannot be installed with pip: {done.stderr[-200:]}")
    try:
        made.rename(kept)
    except OSError:
        shutil.rmtree(made)  # Another worker was faster.
    return kept


@pytest.fixture(scope="session")
def localstripe(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a live localstripe."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("localstripe")
    env = {**os.environ, "PYTHONPATH": str(packages)}
    with (folder / "log").open("wb") as log:
        child = spawn([sys.executable, "-c", _START, "--from-scratch", "--port", str(port)], output=log, env=env)
        origin = f"http://127.0.0.1:{port}"
        try:
            for _ in range(300):
                try:
                    requests.get(f"{origin}/v1/customers", auth=(KEY, ""), timeout=2).raise_for_status()
                    break
                except requests.ConnectionError:
                    time.sleep(0.1)
            else:
                pytest.fail(f"localstripe does not answer: {(folder / 'log').read_text()[-500:]}")
            yield origin
        finally:
            stop(child)


@pytest.fixture
def stripe(localstripe: str) -> Iterator[Front]:
    """An empty Stripe."""
    requests.delete(f"{localstripe}/_config/data", timeout=5).raise_for_status()
    front = Front(localstripe)
    yield front
    front.stop()


@pytest.fixture
def connector(stripe: Front) -> LocalConnector:
    """The connector, calling it."""
    return LocalConnector(stripe.origin)
