"""The two servers, started once for each process of the test run."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from jobs import drain as drain_module
from tests.counterparts.oauth.servers import Lenient, Oidc, Provider, Toolkit
from tests.counterparts.oauth.site import Site
from tests.counterparts.oauth.workers import Refreshers


def _serve(kind: type[Provider], factory: pytest.TempPathFactory) -> Iterator[Provider]:
    server = kind(factory.mktemp(kind.name))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def oidc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    yield from _serve(Oidc, tmp_path_factory)


@pytest.fixture(scope="session")
def toolkit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    yield from _serve(Toolkit, tmp_path_factory)


@pytest.fixture(scope="session")
def lenient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    yield from _serve(Lenient, tmp_path_factory)


@pytest.fixture
def oidc(oidc_server: Provider) -> Provider:
    """oidc-provider with its counts at zero."""
    oidc_server.front.reset()
    return oidc_server


@pytest.fixture
def toolkit(toolkit_server: Provider) -> Provider:
    """django-oauth-toolkit with its counts at zero."""
    toolkit_server.front.reset()
    return toolkit_server


@pytest.fixture
def lenient(lenient_server: Provider) -> Provider:
    """django-oauth-toolkit with a leeway, its counts at zero."""
    lenient_server.front.reset()
    return lenient_server


@pytest.fixture(params=["oidc", "toolkit"])
def provider(request: pytest.FixtureRequest) -> Provider:
    """Each of the two servers in turn, or the ones a test names, with its counts at zero."""
    found: Provider = request.getfixturevalue(f"{request.param}_server")
    found.front.reset()
    return found


@pytest.fixture
def here(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs work in this process."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])


@pytest.fixture
def site(apps: dict[str, Flask], here: None, owner: psycopg.Connection[Any], provider: Provider) -> Site:
    """An installation that is not connected yet."""
    return Site(apps, owner, provider)


@pytest.fixture(scope="session")
def refreshers(environment: dict[str, str]) -> Iterator[Refreshers]:
    """Real worker processes that need a token."""
    found = Refreshers(environment)
    yield found
    found.stop()
