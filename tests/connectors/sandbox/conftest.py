"""Sandbox CRM, running for a test."""

from collections.abc import Iterator

import pytest

from tests.connectors.sandbox.running import Running


@pytest.fixture
def vendor() -> Iterator[Running]:
    """The vendor, which does not pause between its tries to send an event."""
    found = Running()
    found.events.pauses = (0.0, 0.0, 0.0)
    yield found
    found.stop()
