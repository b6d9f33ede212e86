"""A GitHub for each test, and the connector that calls it."""

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_core import OpenAPI

from tests.connectors.github.local import LocalConnector
from tests.connectors.github.vendor import GitHub, document
from tests.connectors.sdk.servers import Vendor


@pytest.fixture(scope="session")
def spec() -> dict[str, Any]:
    """GitHub's OpenAPI document."""
    return document()


@pytest.fixture(scope="session")
def api(spec: dict[str, Any]) -> OpenAPI:
    """The document, ready to check with."""
    return OpenAPI.from_dict(spec)


@pytest.fixture
def github(spec: dict[str, Any], api: OpenAPI) -> Iterator[GitHub]:
    """A GitHub without repositories; at the end nothing that was sent may break GitHub's document."""
    found = GitHub(spec, api)
    yield found
    assert found.wrong == []


@pytest.fixture
def vendor(github: GitHub) -> Iterator[Vendor]:
    """The GitHub, listening."""
    server = Vendor(github)
    yield server
    server.stop()


@pytest.fixture
def connector(vendor: Vendor) -> LocalConnector:
    """The connector, calling it."""
    return LocalConnector(vendor.origin)
