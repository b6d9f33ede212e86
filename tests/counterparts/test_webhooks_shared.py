"""One address for all accounts (HubSpot): each event goes to the installations that have its account, and nowhere else."""

import base64
import hashlib
import hmac
import re
import time
import uuid
from typing import Any

import orjson
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import connections, endpoints, installations, oauth_clients
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.app.views.test_oauth_clients import operator  # noqa: F401  # a fixture
from tests.factories.tenants import make_tenant

SECRET = "the-secret-of-the-app"
Owner = psycopg.Connection[Any]


class Scene:
    """The operator's HubSpot application, and customers with their accounts."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner = apps, owner
        self.tenants = {account: make_tenant(apps, f"Tenant {account}") for account in ("62515", "62516")}
        with apps["web"].app_context(), bind_tenant(PLATFORM_TENANT), transaction():
            oauth_clients.save_client("hubspot", "client", SECRET)
            endpoint = endpoints.find_shared("hubspot")
            assert endpoint
            self.address = endpoints.url_of(str(endpoint.address))
        for account, tenant_id in self.tenants.items():
            self.install(tenant_id, account)

    def install(self, tenant_id: uuid.UUID, account: str) -> None:
        with self.apps["web"].app_context(), bind_tenant(tenant_id), transaction():
            made = installations.create_installation(tenant_id, "hubspot", user_id=uuid.uuid4())
            connection = connections.get_connection(tenant_id, made.connection_id)
            connection.state, connection.account_id = "ready", account
            installations.activate(tenant_id, made.id, user_id=uuid.uuid4())

    def send(self, events: list[dict[str, Any]], secret: str = SECRET) -> int:
        body, stamp = orjson.dumps(events), str(int(time.time() * 1000))
        message = b"POST" + self.address.encode() + body + stamp.encode()
        signature = base64.b64encode(hmac.new(secret.encode(), message, hashlib.sha256).digest()).decode()
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": stamp}
        path = self.address.partition("//")[2].partition("/")[2]
        return self.apps["web"].test_client().post(f"/{path}", data=body, headers=headers).status_code


def event(number: int, portal: int, record: int) -> dict[str, Any]:
    return {
        "eventId": number, "subscriptionId": 1, "portalId": portal, "objectId": record, "occurredAt": number,
        "subscriptionType": "contact.propertyChange", "attemptNumber": 0,
    }  # fmt: skip


@pytest.fixture
def scene(apps: dict[str, Flask], clean: None, owner: Owner) -> Scene:
    return Scene(apps, owner)


def test_each_tenant_gets_the_events_of_its_account_alone(scene: Scene, owner: Owner) -> None:
    assert scene.send([event(1, 62515, 11), event(2, 62516, 22), event(3, 99, 33)]) == 200
    for account, record, foreign in (("62515", "11", b"22"), ("62516", "22", b"11")):
        rows = owner.execute(
            "SELECT verdict, body FROM deliveries WHERE tenant_id = %s", (scene.tenants[account],)
        ).fetchall()
        assert [row[0] for row in rows] == ["accepted"]
        assert [item["objectId"] for item in orjson.loads(rows[0][1])] == [int(record)]
        assert b'"objectId":' + foreign not in rows[0][1]
        hints = owner.execute(
            "SELECT external_id FROM hints WHERE tenant_id = %s", (scene.tenants[account],)
        ).fetchall()
        assert hints == [(record,)]
    kept = owner.execute(
        "SELECT verdict, note, body FROM deliveries WHERE tenant_id = %s", (PLATFORM_TENANT,)
    ).fetchall()
    assert [row[:2] for row in kept] == [("unknown_account", "99")]
    assert [item["objectId"] for item in orjson.loads(kept[0][2])] == [33], "the part of that account, and no other"
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'apply_hint'").fetchone() == (2,)


def test_a_delivery_that_comes_again_is_known_although_its_attempt_is_another(scene: Scene, owner: Owner) -> None:
    """HubSpot counts the attempts in the body, so its hash changes."""
    assert scene.send([event(1, 62515, 11)]) == 200
    assert scene.send([{**event(1, 62515, 11), "attemptNumber": 1}]) == 200
    rows = owner.execute("SELECT copies FROM deliveries WHERE verdict = 'accepted'").fetchall()
    assert rows == [(1,)]


def test_another_secret_is_refused_for_all(scene: Scene, owner: Owner) -> None:
    assert scene.send([event(1, 62515, 11)], secret="other") == 401
    assert owner.execute("SELECT count(*) FROM hints").fetchone() == (0,)


def test_the_operator_sees_what_belongs_to_nobody(
    scene: Scene, operator: FlaskClient, owner: Owner,  # noqa: F811  # a fixture
) -> None:  # fmt: skip
    assert "Nothing came in for nobody" in operator.get("/applications/hubspot/deliveries").text
    for number in range(30):
        scene.send([event(number, 90 + number, 33)])
    scene.send([event(100, 62515, 44)])
    scene.send([event(101, 62515, 55)], secret="other")
    assert "What came in for nobody" in operator.get("/applications/hubspot").text
    page = operator.get("/applications/hubspot/deliveries").text
    assert page.count("Unknown account</span>") == 24
    assert "not kept: it was not verified" in page
    assert "&#34;objectId&#34;: 33" in page
    for hidden in ("&#34;objectId&#34;: 44", "&#34;objectId&#34;: 55", SECRET):
        assert hidden not in page
    older = re.search(r'href="(/applications/hubspot/deliveries[?][^"]*before=[^"]+)"', page)
    assert older
    rest = operator.get(older[1].replace("&amp;", "&")).text
    assert rest.count("Unknown account</span>") == 6
    refused = operator.get("/applications/hubspot/deliveries?verdict=bad_signature").text
    assert "Unknown account</span>" not in refused
    assert operator.get("/applications/hubspot/deliveries?verdict=stale").text.count("Nothing has this verdict") == 1
    assert operator.get("/applications/sandbox/deliveries").status_code == 404
    # What a customer has is not here, and what nobody has is not theirs.
    assert owner.execute("SELECT count(*) FROM deliveries WHERE tenant_id <> %s", (PLATFORM_TENANT,)).fetchone() == (1,)


def test_before_its_secret_is_entered_an_application_has_no_address(operator: FlaskClient) -> None:  # noqa: F811  # a fixture
    assert "There is no address yet" in operator.get("/applications/hubspot/deliveries").text


def test_a_removed_installation_is_told_nothing_more(scene: Scene, owner: Owner) -> None:
    tenant_id = scene.tenants["62515"]
    row = owner.execute("SELECT id FROM installations WHERE tenant_id = %s", (tenant_id,)).fetchone()
    assert row
    with scene.apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        installations.remove(tenant_id, row[0], delete_records=False)
    assert scene.send([event(1, 62515, 11), event(2, 62516, 22)]) == 200
    assert owner.execute("SELECT count(*) FROM hints").fetchone() == (1,)
