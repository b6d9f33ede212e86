"""What tests of the services share."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import clock
from tests.factories.tasks import Lane


@pytest.fixture
def lane(apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any]) -> Lane:
    """The lane `sync`, empty."""
    return Lane(apps, owner)


@pytest.fixture
def still() -> Iterator[datetime]:
    """A moment just past at which the application's clock stands."""
    moment = datetime.now(UTC) - timedelta(seconds=5)
    clock.replace_source(lambda: moment)
    yield moment
    clock.replace_source(None)
