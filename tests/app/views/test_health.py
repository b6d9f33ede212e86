"""Readiness names the lane that nobody serves."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import heartbeats
from app.transaction import transaction

LANES = ("fast", "send", "sync")


def beat(apps: dict[str, Flask], name: str, kind: str, lane: str | None = None) -> None:
    with apps["worker"].app_context(), transaction():
        heartbeats.beat(name, kind, lane)


def ask(client: FlaskClient) -> tuple[int, dict[str, Any]]:
    answer = client.get("/health/ready")
    assert answer.json is not None
    return answer.status_code, answer.json["checks"]


@pytest.mark.parametrize("missing", LANES)
def test_a_lane_without_a_worker_is_named(apps: dict[str, Flask], client: FlaskClient, missing: str) -> None:
    beat(apps, "d", "dispatcher")
    for lane in LANES:
        if lane != missing:
            beat(apps, lane, "worker", lane)
    status, checks = ask(client)
    assert status == 503
    assert {name for name, good in checks.items() if not good} == {f"worker_{missing}"}
    beat(apps, missing, "worker", missing)
    assert ask(client)[0] == 200


def test_without_processes_only_the_stores_are_fine(apps: dict[str, Flask], client: FlaskClient) -> None:
    _, checks = ask(client)
    assert set(checks) == {"database", "redis", "migrations", "dispatcher", *(f"worker_{lane}" for lane in LANES)}
    assert {name for name, good in checks.items() if good} == {"database", "redis", "migrations"}
