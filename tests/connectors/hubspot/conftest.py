"""A HubSpot to talk to, and HubSpot's own Python client in an environment of its own."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.hubspot.documents import Witness
from tests.connectors.hubspot.vendor import HubSpot
from tests.connectors.sdk.servers import Vendor

CLIENT = "hubspot-api-client==12.0.0"
_HOME = Path(__file__).resolve().parents[3] / ".data" / "hubspot-client-12.0.0"


@pytest.fixture
def hubspot() -> HubSpot:
    """An empty account."""
    return HubSpot()


@pytest.fixture
def witness(hubspot: HubSpot) -> Witness:
    """What that account was asked and answered."""
    return Witness(hubspot)


@pytest.fixture
def origin(witness: Witness) -> Iterator[str]:
    """Where it listens."""
    server = Vendor(witness.answer)
    yield server.origin
    server.stop()


@pytest.fixture(scope="session")
def official() -> Callable[..., str]:
    """Runs a script with HubSpot's own client: `official(script, *arguments)` is what it prints."""
    python = _HOME / "bin" / "python"
    if not python.exists():
        _install(python)

    def run(script: str, *arguments: Any) -> str:
        done = subprocess.run(
            [python, "-W", "ignore", "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def _install(python: Path) -> None:
    # Made beside and moved, so that two workers never share a half-made one.
    _HOME.parent.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="hubspot-client-", dir=_HOME.parent))
    subprocess.run([sys.executable, "-m", "venv", made], check=True, capture_output=True)
    pip = [made / "bin" / "python", "-m", "pip", "install", "--quiet", CLIENT]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{CLIENT} cannot be installed: {done.stderr[-200:]}")
    try:
        made.rename(_HOME)
    except OSError:
        assert python.exists()  # Another worker was faster.
