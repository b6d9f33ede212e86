"""Subscriptions, dispatches, endpoints and deliveries over the API."""

import json
import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.db import db
from app.ids import new_id
from app.models.endpoints import Delivery, Endpoint, Hint
from app.services import installations
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.factories.api_keys import host_caller, tenant_caller
from tests.factories.tenants import make_tenant

Apps = dict[str, Flask]
Owner = psycopg.Connection[Any]
HOOK = {"name": "Billing", "url": "https://example.com/hook", "types": ["record.created"]}


@pytest.fixture
def tenant(apps: Apps, clean: None) -> uuid.UUID:
    return make_tenant(apps)


def test_the_life_of_a_subscription(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    call = tenant_caller(apps, tenant)
    made = call("POST", "/subscriptions", HOOK)
    assert made.status_code == 201
    assert made.json["secret"].startswith("whsec_")
    address = f"/subscriptions/{made.json['id']}"
    assert "secret" not in call("GET", address).json
    assert call("POST", "/subscriptions", {**HOOK, "types": ["nothing.done"]}).status_code == 422
    assert call("PUT", address, {**HOOK, "name": "Billing 2"}).json["name"] == "Billing 2"
    assert call("POST", f"{address}/rotate").json["secret"] != made.json["secret"]
    sent = call("POST", f"{address}/test")
    assert (sent.status_code, sent.json["state"]) == (202, "pending")
    shown = call("GET", f"{address}/dispatches/{sent.json['id']}").json
    assert shown["body"]
    blind = tenant_caller(apps, tenant, "read")("GET", f"{address}/dispatches/{sent.json['id']}").json
    assert blind["body"] is None
    assert [d["id"] for d in call("GET", f"{address}/dispatches").json["data"]] == [sent.json["id"]]
    owner.execute("UPDATE dispatches SET state = 'failed', finished_at = now()")
    count = call("POST", f"{address}/replay", {"count_only": True}).json
    assert count == {"count": 1}
    assert owner.execute("SELECT state FROM dispatches").fetchone() == ("failed",)
    assert call("POST", f"{address}/replay", {}).json == {"count": 1}
    assert owner.execute("SELECT state FROM dispatches").fetchone() == ("pending",)
    assert call("POST", f"{address}/disable").json["state"] == "disabled"
    assert call("POST", f"{address}/test").status_code == 409
    assert call("POST", f"{address}/enable").json["state"] == "active"
    assert call("DELETE", address).status_code == 204
    assert call("GET", address).status_code == 404


def test_the_host_has_subscriptions_of_its_own(apps: Apps, tenant: uuid.UUID, owner: Owner) -> None:
    host = host_caller(apps)
    made = host("POST", "/subscriptions", HOOK)
    assert made.status_code == 201
    assert owner.execute("SELECT tenant_id FROM subscriptions").fetchone() == (PLATFORM_TENANT,)
    assert tenant_caller(apps, tenant)("GET", "/subscriptions").json["data"] == []
    assert tenant_caller(apps, tenant)("GET", f"/subscriptions/{made.json['id']}").status_code == 404


def test_deliveries_with_and_without_their_bodies(apps: Apps, tenant: uuid.UUID) -> None:
    with apps["web"].app_context(), bind_tenant(tenant), transaction():
        made = installations.create_installation(tenant, "kinto", user_id=uuid.uuid4())
        db.session.flush()
        endpoint = Endpoint(tenant_id=tenant, id=new_id(), installation_id=made.id, connector="kinto", address="abc")
        db.session.add(endpoint)
        db.session.flush()
        delivery = Delivery(
            tenant_id=tenant, id=new_id(), endpoint_id=endpoint.id, event_id="evt_1", verdict="accepted",
            method="POST", headers={"user-agent": "Vendor"}, body=b'{"id": 1}', size=9,
        )  # fmt: skip
        db.session.add(delivery)
        db.session.flush()
        db.session.add(
            Hint(
                tenant_id=tenant, delivery_id=delivery.id, installation_id=made.id, stream="contacts",
                external_id="1", action="upsert",
            )
        )  # fmt: skip
        endpoint_id, delivery_id = endpoint.id, delivery.id
    call = tenant_caller(apps, tenant)
    [shown] = call("GET", "/webhook-endpoints").json["data"]
    assert shown["url"] == "http://localhost/hooks/abc"
    assert call("GET", f"/webhook-endpoints/{endpoint_id}").json == shown
    [listed] = call("GET", f"/webhook-endpoints/{endpoint_id}/deliveries?verdict=accepted").json["data"]
    assert listed["event_id"] == "evt_1"
    assert call("GET", f"/webhook-endpoints/{endpoint_id}/deliveries?verdict=stale").json["data"] == []
    address = f"/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}"
    full = call("GET", address).json
    assert json.loads(full["body"]) == {"id": 1}
    assert (full["hints"][0]["external_id"], full["headers"]) == ("1", {"user-agent": "Vendor"})
    blind = tenant_caller(apps, tenant, "read")("GET", address).json
    assert (blind["body"], blind["headers"]) == (None, None)
    # Kinto has no webhooks, and its installation is a draft: what is asked is counted, and nothing is done.
    assert call("POST", f"/webhook-endpoints/{endpoint_id}/replay", {"scope": "hour", "count_only": True}).json == {
        "count": 1
    }
    assert call("POST", f"{address}/replay").json["code"] == "not_active"
    assert call("POST", f"/webhook-endpoints/{endpoint_id}/replay", {}).status_code == 409
