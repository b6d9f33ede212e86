"""Settings of a connection, and what a test's outcome means."""

import uuid

import pytest
from flask import Flask

from app.errors import InvalidError
from app.models.connections import Connection
from app.services import connections, installations
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors import registry
from connectors.sdk import Account, AuthError, UnavailableError
from tests.factories.tenants import make_tenant

KINTO = registry.get("kinto").manifest


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Kinto.Example.com", "https://kinto.example.com"),
        (" https://kinto.example.com:8443/ ", "https://kinto.example.com:8443"),
        ("http://127.0.0.1:8888", "http://127.0.0.1:8888"),
    ],
)
def test_an_origin_is_kept_without_what_is_not_its_own(given: str, kept: str) -> None:
    connection = Connection(settings={"bucket": "crm"})
    connections.save_settings(connection, KINTO, {"server": given})
    assert connection.settings == {"bucket": "crm", "server": kept}


@pytest.mark.parametrize(
    "given",
    [
        "kinto.example.com", "ftp://kinto.example.com", "https://", "https://user:secret@kinto.example.com",
        "https://kinto.example.com/v1", "https://kinto.example.com?x=1", "https://kinto.example.com#x", "javascript:x",
    ],
)  # fmt: skip
def test_an_origin_that_is_none_is_refused_by_field(given: str) -> None:
    with pytest.raises(InvalidError) as refused:
        connections.save_settings(Connection(settings={}), KINTO, {"server": given})
    assert set(refused.value.fields) == {"server"}


def test_what_a_test_means(apps: dict[str, Flask], clean: None) -> None:
    """Never worked: new. Worked before: a passing fault leaves it ready, a refusal asks a person."""
    tenant_id = make_tenant(apps)
    with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "kinto", user_id=uuid.uuid4())
        connection = connections.get_connection(tenant_id, made.connection_id)
        connections.refuse(tenant_id, connection.id, AuthError("401"))
        assert (connection.state, connection.error_code) == ("new", "reconnect")
        connections.accept(tenant_id, connection, Account("crm", "CRM"))
        assert (connection.state, connection.error_code, connection.account_name) == ("ready", None, "CRM")
        connections.refuse(tenant_id, connection.id, UnavailableError("503"))
        assert (connection.state, connection.error_code) == ("ready", "vendor_down")
        connections.refuse(tenant_id, connection.id, AuthError("401"))
        assert (connection.state, connection.error_code) == ("reconnect", "reconnect")
        connections.save_credentials(tenant_id, connection.id, KINTO, {}, {"password": "another"}, user_id=uuid.uuid4())
        assert connection.state == "testing"
        connections.refuse(tenant_id, connection.id, UnavailableError("503"))
        assert connection.state == "new", "what was entered has never been tested, so nothing may be synced with it"


def test_a_connection_that_works_again_lets_a_blocked_sync_go_on(apps: dict[str, Flask], clean: None) -> None:
    tenant_id = make_tenant(apps)
    for code in ("reconnect", "permission_missing", "settings_wrong"):
        with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
            made = installations.create_installation(tenant_id, "kinto", user_id=uuid.uuid4())
            made.blocked_code = code
            connection = connections.get_connection(tenant_id, made.connection_id)
            connections.accept(tenant_id, connection, Account(code, "CRM"))
            assert made.blocked_code is None
