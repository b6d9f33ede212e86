"""Sealed credentials: who can read them, what they are bound to, and which save wins."""

import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from app.clock import now
from app.crypto import SealError
from app.db import db
from app.models.connections import Connection, Credential
from app.services import credentials
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import Secret
from connectors.sdk.oauth import TokenSet
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]


@pytest.fixture
def tenant_id(apps: dict[str, Flask], clean: None) -> uuid.UUID:
    return make_tenant(apps)


def make_connection(apps: dict[str, Flask], tenant_id: uuid.UUID) -> uuid.UUID:
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        made = Connection(tenant_id=tenant_id, id=uuid.uuid4(), connector="kinto")
        db.session.add(made)
        return made.id


def seal(apps: dict[str, Flask], tenant_id: uuid.UUID, connection_id: uuid.UUID, field: str, value: str) -> None:
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        credentials.seal_secret(tenant_id, connection_id, field, value)


def open_all(apps: dict[str, Flask], tenant_id: uuid.UUID, connection_id: uuid.UUID) -> dict[str, str]:
    with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        found = credentials.open_secrets(tenant_id, connection_id)
        return {name: secret.reveal() for name, secret in found.items()}


def tokens(text: str, *, minutes: int = 60) -> TokenSet:
    return TokenSet(Secret(f"access-{text}"), Secret(f"refresh-{text}"), now() + timedelta(minutes=minutes))


def test_web_seals_and_replaces_and_only_the_worker_opens(
    apps: dict[str, Flask], tenant_id: uuid.UUID, owner: Owner
) -> None:
    connection_id = make_connection(apps, tenant_id)
    seal(apps, tenant_id, connection_id, "password", "first secret")
    seal(apps, tenant_id, connection_id, "password", "second secret")
    assert open_all(apps, tenant_id, connection_id) == {"password": "second secret"}
    row = owner.execute("SELECT version, sealed FROM credentials").fetchone()
    assert row is not None
    assert row[0] == 2
    assert b"secret" not in row[1]


def test_web_can_read_no_ciphertext(apps: dict[str, Flask], tenant_id: uuid.UUID) -> None:
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction(), pytest.raises(ProgrammingError):
        db.session.execute(select(Credential.sealed))


def test_a_moved_or_older_ciphertext_is_not_opened(apps: dict[str, Flask], tenant_id: uuid.UUID, owner: Owner) -> None:
    """Between tenants, connections, fields and versions: opened 0 of 4 (O14)."""
    one, two = make_connection(apps, tenant_id), make_connection(apps, tenant_id)
    other_tenant = make_tenant(apps, "Borrow & Co")
    other = make_connection(apps, other_tenant)
    seal(apps, tenant_id, one, "password", "old value")
    row = owner.execute("SELECT sealed FROM credentials").fetchone()
    assert row is not None
    old = row[0]
    seal(apps, tenant_id, one, "password", "value")
    seal(apps, tenant_id, one, "key", "key value")
    seal(apps, tenant_id, two, "password", "of the second")
    seal(apps, other_tenant, other, "password", "of another tenant")
    source = owner.execute(
        "SELECT sealed FROM credentials WHERE connection_id = %s AND field = 'password'", (one,)
    ).fetchone()
    assert source is not None
    targets = ((tenant_id, one, "key", source[0]), (tenant_id, two, "password", source[0]),
               (other_tenant, other, "password", source[0]), (tenant_id, one, "password", old))  # fmt: skip
    for tenant, connection, field, sealed in targets:
        owner.execute(
            "UPDATE credentials SET sealed = %s WHERE connection_id = %s AND field = %s", (sealed, connection, field)
        )
        with pytest.raises(SealError):
            open_all(apps, tenant, connection)


def test_a_late_refresher_does_not_replace_newer_tokens(apps: dict[str, Flask], tenant_id: uuid.UUID) -> None:
    """Red without the version in the upsert's condition."""
    connection_id = make_connection(apps, tenant_id)
    with apps["worker"].app_context(), bind_tenant(tenant_id):
        with transaction():
            assert credentials.save_tokens(tenant_id, connection_id, tokens("1"))
        with transaction():
            assert credentials.save_tokens(tenant_id, connection_id, tokens("2"), after_version=1)
        with transaction():
            assert not credentials.save_tokens(tenant_id, connection_id, tokens("late"), after_version=1)
        with transaction():
            found = credentials.open_tokens(tenant_id, connection_id)
            assert found is not None
            assert (found.version, found.access_token.reveal()) == (2, "access-2")
        with transaction():
            assert credentials.save_tokens(tenant_id, connection_id, tokens("person"))
            assert credentials.open_tokens(tenant_id, connection_id) is not None


def test_one_lease_a_version(apps: dict[str, Flask], tenant_id: uuid.UUID) -> None:
    connection_id = make_connection(apps, tenant_id)
    with apps["worker"].app_context(), bind_tenant(tenant_id):
        with transaction():
            credentials.save_tokens(tenant_id, connection_id, tokens("1"))
        with transaction():
            lease = credentials.take_refresh_lease(tenant_id, connection_id, 1)
            assert lease is not None
        with transaction():
            assert not credentials.take_refresh_lease(tenant_id, connection_id, 1)
            assert not credentials.take_refresh_lease(tenant_id, connection_id, 2)
            credentials.drop_refresh_lease(tenant_id, connection_id, lease)
        with transaction():
            assert credentials.take_refresh_lease(tenant_id, connection_id, 1)


def test_refresh_is_planned_before_the_end(apps: dict[str, Flask], tenant_id: uuid.UUID, owner: Owner) -> None:
    connection_id = make_connection(apps, tenant_id)
    with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        credentials.save_tokens(tenant_id, connection_id, tokens("1", minutes=100))
    row = owner.execute(
        "SELECT extract(epoch FROM t.due_at - now()) / 60, t.due_at = c.refresh_after FROM tasks t, credentials c "
        "WHERE t.kind = 'refresh_token'"
    ).fetchone()
    assert row is not None
    assert 74 < row[0] < 86
    assert row[1]
