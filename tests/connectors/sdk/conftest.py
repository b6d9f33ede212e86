"""Servers that end with their test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.connectors.sdk.servers import Sinkhole, Talker, Vendor


@pytest.fixture
def start() -> Iterator[Callable[[Any], Any]]:
    """Keeps a server until the test is over: `vendor = start(Vendor(answer))`."""
    started: list[Vendor | Talker | Sinkhole] = []

    def keep(server: Any) -> Any:
        started.append(server)
        return server

    yield keep
    for server in started:
        server.stop()
