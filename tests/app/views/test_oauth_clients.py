"""Operators enter the host's applications; a worker asks the vendor whether it knows them."""

import re
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import accounts, oauth_clients, sessions
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from app.web import cookie_name
from jobs import drain as drain_module
from tests.factories.tenants import seed_catalog
from tests.jobs.test_connections import Vendor

Owner = psycopg.Connection[Any]


@pytest.fixture
def operator(apps: dict[str, Flask], clean: None) -> FlaskClient:
    seed_catalog(apps)
    settings = apps["web"].extensions["settings"]
    with apps["owner"].app_context(), bind_tenant(PLATFORM_TENANT), transaction():
        user_id = accounts.make_user("olga@example.com", "Olga", "a long password", verified=True).id
        accounts.add_staff_role(user_id, "operator")
    with apps["owner"].app_context(), bind_tenant(None, user_id), transaction():
        cookie = sessions.start_session(user_id, None, settings, ip="", user_agent="")
    client = apps["web"].test_client()
    client.set_cookie(cookie_name(settings), cookie)
    return client


def send(client: FlaskClient, path: str, **data: str) -> Any:
    token = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/applications").text)
    assert token
    return client.post(path, data={"csrf_token": token[1], **data}, headers={"Origin": "http://localhost"})


def test_an_application_is_sealed_and_its_secret_never_shown(operator: FlaskClient, owner: Owner) -> None:
    answer = send(
        operator, "/applications/sandbox", client_id="app-1", secret="very-secret-word", expires_on="2026-12-01"
    )
    assert answer.status_code == 303
    page = operator.get("/applications/sandbox").text
    assert "app-1" in page
    assert "very-secret-word" not in page
    assert "http://localhost/oauth/callback/sandbox" in page
    assert "The secret ends on 2026-12-01" in page
    row = owner.execute("SELECT client_id, secret_sealed FROM oauth_clients WHERE connector = 'sandbox'").fetchone()
    assert row is not None
    assert row[0] == "app-1"
    assert b"very-secret-word" not in bytes(row[1])
    audited = owner.execute(
        "SELECT tenant_id, subject_id, details::text FROM audit WHERE action = 'oauth_client.saved'"
    )
    assert audited.fetchall() == [(PLATFORM_TENANT, "sandbox", "{}")]


def test_an_empty_secret_keeps_the_present_one(operator: FlaskClient, apps: dict[str, Flask], owner: Owner) -> None:
    before = owner.execute("SELECT secret_sealed FROM oauth_clients").fetchone()
    assert send(operator, "/applications/sandbox", client_id="app-2", secret="").status_code == 303
    assert owner.execute("SELECT secret_sealed FROM oauth_clients").fetchone() == before
    with apps["worker"].app_context():
        client = oauth_clients.open_client("sandbox")
    assert client is not None
    assert (client.id, client.secret.reveal()) == ("app-2", "sandbox-secret")


def test_a_removed_application_needs_its_secret_again(operator: FlaskClient, owner: Owner) -> None:
    assert send(operator, "/applications/sandbox/remove").status_code == 303
    assert owner.execute("SELECT count(*) FROM oauth_clients").fetchone() == (0,)
    answer = send(operator, "/applications/sandbox", client_id="app-1", secret="")
    assert answer.status_code == 422
    assert "Give the client secret." in answer.text
    assert operator.get("/applications/kinto").status_code == 404


@pytest.mark.parametrize(("secret", "said"), [("sandbox-secret", "accepted"), ("wrong", "The vendor does not know")])
def test_the_vendor_is_asked(
    operator: FlaskClient, apps: dict[str, Flask], owner: Owner, monkeypatch: pytest.MonkeyPatch, secret: str, said: str
) -> None:
    vendor = Vendor()
    worker = apps["worker"]
    known = worker.extensions["settings"].model_copy(update={"sandbox_url": vendor.origin})
    monkeypatch.setitem(worker.extensions, "settings", known)
    monkeypatch.setattr(drain_module, "worker_app", lambda: worker)
    send(operator, "/applications/sandbox", client_id="patchbay", secret=secret)
    assert send(operator, "/applications/sandbox/check").status_code == 303
    assert "A worker is asking" in operator.get("/applications/sandbox").text
    assert drain_module.drain("fast") == 1
    vendor.stop()
    row = owner.execute("SELECT test_result FROM oauth_clients").fetchone()
    assert row is not None
    assert row[0].startswith(said)
