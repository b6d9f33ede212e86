"""A vendor host that fails when a test wants it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from jobs import drain as drain_module
from tests.connectors.sdk.servers import Vendor
from tests.jobs.sites import Site, good


@pytest.fixture
def site(
    apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    vendor = Vendor(good)
    found = Site(apps, owner, vendor)
    found.add_tenant()
    yield found
    vendor.stop()
