"""Conflicts and problems over the API."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.factories.api_keys import tenant_caller
from tests.factories.conflicts import Desk

Apps = dict[str, Flask]
Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: Apps, clean: None, owner: Owner) -> Desk:
    return Desk(apps, owner)


def test_a_conflict_is_read_and_settled(apps: Apps, desk: Desk) -> None:
    desk.clash("Ada", city=("London", "Bonn", "Oslo"))
    call = tenant_caller(apps, desk.tenant_id)
    [listed] = call("GET", "/conflicts").json["data"]
    assert (listed["kind"], listed["fields"]) == ("fields", ["city"])
    shown = call("GET", f"/conflicts/{listed['id']}").json
    assert {shown[side]["city"] for side in ("base", "ours", "theirs")} == {"London", "Bonn", "Oslo"}
    blind = tenant_caller(apps, desk.tenant_id, "list", "read")("GET", f"/conflicts/{listed['id']}").json
    assert (blind["ours"], blind["theirs"], blind["base"]) == (None, None, None)
    address = f"/conflicts/{listed['id']}/decide"
    stale = call("POST", address, {"seen": "before", "choices": {"city": {"side": "theirs"}}})
    assert stale.status_code == 409
    assert call("POST", address, {"seen": shown["seen"]}).status_code == 422
    done = call("POST", address, {"seen": shown["seen"], "choices": {"city": {"side": "theirs"}}})
    assert (done.status_code, done.json["state"], done.json["resolution"]) == (200, "settled", "theirs")
    record = call("GET", f"/records/contact/{shown['record_id']}").json
    assert record["data"]["city"] == shown["theirs"]["city"]
    assert call("GET", "/conflicts").json["data"] == []
    assert len(call("GET", "/conflicts?state=settled").json["data"]) == 1


def test_problems_are_listed_and_tried(apps: Apps, desk: Desk, owner: Owner) -> None:
    desk.clash("Ada", city=("London", "Bonn", "Oslo"))
    call = tenant_caller(apps, desk.tenant_id)
    found = call("GET", "/problems").json["data"]
    for problem in found:
        assert call("GET", f"/problems/{problem['id']}").json["code"] == problem["code"]
        assert call("POST", f"/problems/{problem['id']}/try").status_code in (202, 409)
    assert call("GET", f"/problems/{uuid.uuid4()}").status_code == 404
    assert call("GET", "/problems?state=closed").json["data"] == []
