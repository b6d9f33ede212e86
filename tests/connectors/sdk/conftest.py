"""Servers that end with their test, and installations that sync with one."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from flask import Flask

from jobs import drain as drain_module
from jobs import vendor as vendor_module
from tests.connectors.sdk.acme import Acme, Owner, Sync, person
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


@pytest.fixture
def worker(apps: dict[str, Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker functions in this process, with a deadline that tests can wait for."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    monkeypatch.setattr(vendor_module, "http_client", partial(vendor_module.http_client, timeout=0.5))


@pytest.fixture
def acme() -> Iterator[Acme]:
    found = Acme([person(n) for n in range(6)])
    yield found
    found.stop()


@pytest.fixture
def installed(apps: dict[str, Flask], clean: None, owner: Owner, acme: Acme, worker: None) -> Callable[..., Sync]:
    """Returns a new installation at `acme`."""
    return lambda manifest=None: Sync(apps, owner, acme.origin, manifest)
