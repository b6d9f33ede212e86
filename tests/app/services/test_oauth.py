"""OAuth, the platform's half: a callback that does not fit is refused, whatever is wrong with it."""

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from flask import Flask

from app import clock
from app.errors import ConflictError, NotFoundError
from app.services import connections, installations, listings, oauth
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors import registry
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]
ORIGIN = "https://crm.example.com"
REDIRECT = "https://patchbay.example.com/oauth/callback/sandbox"
SESSION, USER = uuid.uuid4(), uuid.uuid4()


class Flow:
    """An authorisation under way."""

    def __init__(self, apps: dict[str, Flask]) -> None:
        self.app, self.tenant_id = apps["web"], make_tenant(apps)
        with self.app.app_context(), bind_tenant(self.tenant_id), transaction():
            made = installations.create_installation(self.tenant_id, "sandbox", user_id=USER)
            self.installation_id, self.connection_id = made.id, made.connection_id
            self.connector = listings.connector_of(made.listing_version_id)
            connection = connections.get_connection(self.tenant_id, made.connection_id)
            connections.save_settings(connection, self.connector.manifest, {"server": ORIGIN})
            self.address = oauth.begin(
                self.tenant_id, made.id, self.connector, session_id=SESSION, user_id=USER, redirect_uri=REDIRECT
            )
        self.sent = {name: values[0] for name, values in parse_qs(urlsplit(self.address).query).items()}

    def call_back(self, state: str | None = None, **other: Any) -> uuid.UUID:
        """Come back from the vendor."""
        asked = {"session_id": SESSION, "user_id": USER, "connector": self.connector, "code": "c0de", "issuer": ORIGIN}
        with self.app.app_context():
            found = oauth.tenant_of_state(state or self.sent["state"])
            if found is None:
                raise oauth.bad_state()
            with bind_tenant(found[0]), transaction():
                return oauth.take_callback(*found, **{**asked, **other})


@pytest.fixture
def flow(apps: dict[str, Flask], clean: None) -> Flow:
    return Flow(apps)


def test_the_address_asks_for_pkce_and_names_our_return_address(flow: Flow) -> None:
    assert flow.address.startswith(f"{ORIGIN}/oauth/authorize?")
    assert flow.sent["code_challenge_method"] == "S256"
    assert len(flow.sent["code_challenge"]) == 43
    assert flow.sent["redirect_uri"] == REDIRECT
    assert flow.sent["scope"] == "crm.read crm.write"


def test_a_callback_is_taken_once_and_its_code_is_sealed(flow: Flow, owner: Owner) -> None:
    assert flow.call_back() == flow.installation_id
    row = owner.execute("SELECT code_sealed, verifier_sealed, state_hash FROM oauth_states").fetchone()
    assert row is not None
    assert b"c0de" not in row[0]
    assert flow.sent["state"].encode() not in row[2]
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'exchange_code'").fetchone() == (1,)
    with pytest.raises(NotFoundError):
        flow.call_back()
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'exchange_code'").fetchone() == (1,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_id": uuid.uuid4()},
        {"user_id": uuid.uuid4()},
        {"connector": registry.get("kinto")},
        {"issuer": "https://another.example.com"},
        {"code": ""},
        {"state": "made-up"},
    ],
    ids=["session", "user", "provider", "issuer", "code", "state"],
)
def test_what_does_not_fit_is_refused_with_one_answer(flow: Flow, owner: Owner, wrong: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError) as refused:
        flow.call_back(**wrong)
    assert (refused.value.code, refused.value.message) == ("bad_state", oauth.bad_state().message)
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'exchange_code'").fetchone() == (0,)
    assert flow.call_back() == flow.installation_id


def test_another_tenant_does_not_see_the_state(flow: Flow, apps: dict[str, Flask]) -> None:
    other = make_tenant(apps, "Borrow & Co")
    with flow.app.app_context():
        found = oauth.tenant_of_state(flow.sent["state"])
        assert found is not None
        assert found[0] == flow.tenant_id
        with bind_tenant(other), transaction(), pytest.raises(NotFoundError):
            oauth.take_callback(
                other, found[1], session_id=SESSION, user_id=USER, connector=flow.connector, code="c0de", issuer=None
            )


def test_a_state_ends_after_ten_minutes(flow: Flow) -> None:
    late = clock.now() + timedelta(minutes=11)
    clock.replace_source(lambda: late)
    try:
        with pytest.raises(NotFoundError):
            flow.call_back()
    finally:
        clock.replace_source(None)


def test_a_refusal_at_the_vendor_is_told_and_ends_the_state(flow: Flow, owner: Owner) -> None:
    with flow.app.app_context():
        found = oauth.tenant_of_state(flow.sent["state"])
        assert found is not None
        asked: dict[str, Any] = {"user_id": USER, "connector": flow.connector}
        with bind_tenant(flow.tenant_id), transaction(), pytest.raises(NotFoundError):
            oauth.deny(*found, session_id=uuid.uuid4(), **asked)
        with bind_tenant(flow.tenant_id), transaction():
            assert oauth.deny(*found, session_id=SESSION, **asked) == flow.installation_id
    row = owner.execute("SELECT state, error_code, error_message FROM connections").fetchone()
    assert row == ("new", "denied", "Access was not allowed at Sandbox CRM.")
    with pytest.raises(NotFoundError):
        flow.call_back()


def test_without_an_application_the_operator_is_named(flow: Flow, owner: Owner) -> None:
    owner.execute("DELETE FROM oauth_clients")
    with flow.app.app_context(), bind_tenant(flow.tenant_id), transaction(), pytest.raises(ConflictError) as refused:
        oauth.begin(
            flow.tenant_id,
            flow.installation_id,
            flow.connector,
            session_id=SESSION,
            user_id=USER,
            redirect_uri=REDIRECT,
        )
    assert refused.value.code == "no_oauth_client"
