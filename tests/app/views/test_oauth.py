"""The way to the vendor and back, over HTTP."""

import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import connections, installations, listings
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.api_keys import tenant_caller
from tests.factories.people import sign_in
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]
ORIGIN = "https://crm.example.com"


def make_installation(apps: dict[str, Flask], tenant_id: uuid.UUID) -> uuid.UUID:
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "sandbox", user_id=uuid.uuid4())
        connection = connections.get_connection(tenant_id, made.connection_id)
        connections.save_settings(connection, listings.manifest_of(made.listing_version_id), {"server": ORIGIN})
        return made.id


@pytest.fixture
def tenant_id(apps: dict[str, Flask], clean: None) -> uuid.UUID:
    return make_tenant(apps)


def leave(client: FlaskClient, installation_id: uuid.UUID, **headers: str) -> dict[str, str]:
    answer = client.get(f"/oauth/start/{installation_id}", headers=headers)
    assert answer.status_code == 303
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def test_there_and_back(apps: dict[str, Flask], tenant_id: uuid.UUID, owner: Owner) -> None:
    client, installation_id = sign_in(apps, tenant_id), make_installation(apps, tenant_id)
    sent = leave(client, installation_id)
    answer = client.get("/oauth/callback/sandbox", query_string={"state": sent["state"], "code": "c0de", "iss": ORIGIN})
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"/installations/{installation_id}/setup/connect")
    assert owner.execute("SELECT state FROM connections").fetchone() == ("testing",)
    assert owner.execute("SELECT count(*) FROM audit WHERE action = 'connection.authorised'").fetchone() == (1,)


def test_a_guest_of_a_connect_link_goes_there_and_back(
    apps: dict[str, Flask], tenant_id: uuid.UUID, owner: Owner
) -> None:
    installation_id = make_installation(apps, tenant_id)
    call = tenant_caller(apps, tenant_id)
    link = call("POST", f"/installations/{installation_id}/connect-link", {"person": "Maja"}).json["url"]
    client, stranger = apps["web"].test_client(), sign_in(apps, tenant_id)
    client.get(link.removeprefix("http://localhost"))
    answer = {"state": leave(client, installation_id)["state"], "code": "c0de", "iss": ORIGIN}
    # The state is bound to the guest's own browser: even an admin of the same tenant cannot bring it back.
    assert stranger.get("/oauth/callback/sandbox", query_string=answer).status_code == 404
    back = client.get("/oauth/callback/sandbox", query_string=answer)
    assert back.headers["location"].endswith(f"/installations/{installation_id}/setup/connect")
    assert owner.execute("SELECT state FROM connections").fetchone() == ("testing",)
    actor = owner.execute("SELECT actor FROM audit WHERE action = 'connection.authorised'").fetchone()
    assert actor == ("Maja (connect link)",)


def test_the_return_address_is_ours_whatever_the_request_says(apps: dict[str, Flask], tenant_id: uuid.UUID) -> None:
    """O12: neither Host nor X-Forwarded-Host moves it."""
    client, installation_id = sign_in(apps, tenant_id), make_installation(apps, tenant_id)
    sent = leave(client, installation_id, **{"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
    assert sent["redirect_uri"] == "http://localhost/oauth/callback/sandbox"


def test_a_strangers_state_is_refused_and_audited(apps: dict[str, Flask], tenant_id: uuid.UUID, owner: Owner) -> None:
    """O08: the attacker's own valid state in the victim's browser; then a replay, another provider, a made-up one."""
    attacker, victims = sign_in(apps, tenant_id), make_tenant(apps, "Borrow & Co")
    victim = sign_in(apps, victims)
    sent = leave(attacker, make_installation(apps, tenant_id))
    tries: list[tuple[FlaskClient, str, dict[str, str]]] = [
        (victim, "sandbox", {"state": sent["state"], "code": "c0de"}),
        (victim, "sandbox", {"state": sent["state"], "error": "access_denied"}),
        (attacker, "kinto", {"state": sent["state"], "code": "c0de"}),
        (attacker, "sandbox", {"state": sent["state"], "code": "c0de", "iss": "https://another.example.com"}),
        (attacker, "sandbox", {"state": "made-up", "code": "c0de"}),
    ]
    for client, slug, query in tries:
        answer = client.get(f"/oauth/callback/{slug}", query_string=query)
        assert answer.status_code == 404
        assert "does not belong to your session" in answer.text
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'exchange_code'").fetchone() == (0,)
    rows = owner.execute("SELECT tenant_id FROM audit WHERE action = 'connection.refused' ORDER BY id").fetchall()
    assert [row[0] for row in rows] == [victims] * 2 + [tenant_id] * 3


def test_no_said_at_the_vendor_leads_back_to_the_step(apps: dict[str, Flask], tenant_id: uuid.UUID) -> None:
    client, installation_id = sign_in(apps, tenant_id), make_installation(apps, tenant_id)
    sent = leave(client, installation_id)
    query = {"state": sent["state"], "error": "access_denied", "iss": ORIGIN}
    answer = client.get("/oauth/callback/sandbox", query_string=query, follow_redirects=True)
    assert answer.status_code == 200
    assert "Access was not allowed at Sandbox CRM." in answer.text
