"""Real servers for every test run: one PostgreSQL and one Valkey, a database of its own for each worker."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = "patchbay_template"
_started: list[Any] = []


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once, in the process that starts the workers; workers inherit the addresses."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    from app.devstack.stack import Stack

    directory = Path(tempfile.mkdtemp(prefix="patchbay-test-"))
    environ = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
    environ.pop("DATABASE_URL", None)
    environ.pop("REDIS_URL", None)
    stack = Stack(directory, environ, fast=True)
    stack.start()
    _started.extend((stack, directory))
    assert stack.postgres is not None
    assert stack.valkey is not None
    stack.postgres.ensure_database(TEMPLATE)
    os.environ.pop("DATABASE_URL", None)
    os.environ["PATCHBAY_TEST_SOCKETS"] = str(stack.postgres.url("{database}", "{user}"))
    os.environ["PATCHBAY_TEST_REDIS"] = stack.valkey.url(0).replace("db=0", "db={number}")
    os.environ["PATCHBAY_TEST_KEYS"] = str(stack.keys)
    env = {**os.environ, **_environment(TEMPLATE, 0), "PATCHBAY_PROCESS": "owner", "PATCHBAY_LOG_LEVEL": "WARNING"}
    subprocess.run([sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"], env=env, cwd=ROOT, check=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers and remove their data."""
    if _started and not hasattr(config, "workerinput"):
        _started[0].stop()
        shutil.rmtree(_started[1], ignore_errors=True)
        _started.clear()


def _url(database: str, user: str) -> str:
    return os.environ["PATCHBAY_TEST_SOCKETS"].replace("{database}", database).replace("{user}", user)


def _environment(database: str, number: int) -> dict[str, str]:
    keys = os.environ["PATCHBAY_TEST_KEYS"]
    found = {
        f"PATCHBAY_{role.upper()}_URL": _url(database, f"patchbay_{role}") for role in ("web", "worker", "dispatcher")
    }
    return found | {
        "PATCHBAY_OWNER_URL": _url(database, "postgres"),
        "REDIS_URL": os.environ["PATCHBAY_TEST_REDIS"].replace("{number}", str(number)),
        "PATCHBAY_KEYS_DIR": keys,
        "PATCHBAY_SECRET_KEY_FILE": f"{keys}/secret_key",
        "PATCHBAY_TOKEN_KEY_FILE": f"{keys}/token.key",
        "PATCHBAY_PROFILE": "test",
        "PATCHBAY_BASE_URL": "http://localhost",
        "PATCHBAY_EGRESS_ALLOW": "127.0.0.0/8",
        "PATCHBAY_LOG_LEVEL": "WARNING",
        "PATCHBAY_LEASE_SECONDS": "3",
        "PATCHBAY_TICK_SECONDS": "0.1",
        "PATCHBAY_SLICE_SECONDS": "5",
    }


@pytest.fixture(scope="session")
def environment(worker_id: str) -> dict[str, str]:
    """The settings of this worker's own database, as environment variables for real processes."""
    name = os.environ.get("PYTEST_XDIST_WORKER", worker_id)
    number = int(name.removeprefix("gw")) + 1 if name.startswith("gw") else 1
    database = f"test_{name}"
    with psycopg.connect(_url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database}"')
        connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{TEMPLATE}"')
    return _environment(database, number)


@pytest.fixture(scope="session")
def owner(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees everything, to arrange and to look."""
    with psycopg.connect(environment["PATCHBAY_OWNER_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def apps(environment: dict[str, str]) -> dict[str, Flask]:
    """The application of each kind of process."""
    from app import create_app
    from app.config import load_settings

    return {kind: create_app(kind, load_settings(environment)) for kind in ("web", "worker", "dispatcher", "owner")}  # type: ignore[arg-type]


@pytest.fixture
def clean(environment: dict[str, str], owner: psycopg.Connection[Any]) -> None:
    """Every table and the Redis database empty, but for the platform's tenant and object types."""
    empty(environment, owner)


def empty(environment: dict[str, str], owner: psycopg.Connection[Any]) -> None:
    """Empty the database and Redis, also in the middle of a test."""
    redis.Redis.from_url(environment["REDIS_URL"]).flushdb()
    rows = owner.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' "
        "AND c.relkind = 'r' AND c.relname NOT IN ('alembic_version', 'object_types', 'object_fields')"
    ).fetchall()
    tables = [row[0] for row in rows]
    full = [name for name in tables if owner.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()]
    if set(full) - {"tenants"} or owner.execute("SELECT count(*) FROM tenants").fetchone() != (1,):
        owner.execute("TRUNCATE " + ", ".join(f'"{name}"' for name in {*full, "tenants"}) + " CASCADE")
        owner.execute("INSERT INTO tenants (id, name) VALUES ('00000000-0000-0000-0000-000000000000', 'Platform')")


@pytest.fixture
def app(apps: dict[str, Flask], clean: None) -> Iterator[Flask]:
    """The web application with its context pushed."""
    with apps["web"].app_context():
        yield apps["web"]


@pytest.fixture
def worker_app(apps: dict[str, Flask], clean: None) -> Iterator[Flask]:
    """The worker's application with its context pushed."""
    with apps["worker"].app_context():
        yield apps["worker"]


@pytest.fixture
def client(apps: dict[str, Flask], clean: None) -> FlaskClient:
    """A browser without a browser."""
    return apps["web"].test_client()


def find_chromium() -> str | None:
    """Return a Chromium to drive, or None."""
    for name in (os.environ.get("PATCHBAY_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name) if name else None
        if found:
            return found
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip browser tests where no browser can be had."""
    if find_chromium() is None:
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(pytest.mark.skip(reason="no Chromium"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say that browser tests were skipped, and how to have them."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "no Chromium" in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} browser tests were skipped because no Chromium was found: install the package chromium, "
            "or name one with PATCHBAY_CHROMIUM."
        )


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """The name of this xdist worker, `main` without xdist."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")
