"""Connections: an authorised external account. The web process seals what is entered; workers test it."""

import uuid
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, update

from app.clock import now
from app.db import db
from app.errors import InvalidError, NotFoundError
from app.models.connections import Connection
from app.models.installations import Installation
from app.services import audit, credentials, endpoints, problems, tasks, vendor_hosts
from app.sync.proofs import BY_TEST
from app.tenancy import scoped
from connectors.sdk import Account, Choice, ConnectorError, Manifest


def get_connection(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> Connection:
    """Return the connection or raise NotFoundError."""
    found = db.session.scalar(scoped(Connection, tenant_id).where(Connection.id == connection_id))
    if found is None:
        raise NotFoundError("There is no such connection.")
    return found


def of_installation(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Connection:
    """Return the connection of an installation or raise NotFoundError."""
    found = db.session.scalar(
        scoped(Connection, tenant_id)
        .join(
            Installation,
            (Installation.tenant_id == Connection.tenant_id) & (Installation.connection_id == Connection.id),
        )
        .where(Installation.id == installation_id)
    )
    if found is None:
        raise NotFoundError("There is no such connection.")
    return found


def save_settings(connection: Connection, manifest: Manifest, settings: dict[str, Any]) -> None:
    """Keep the settings the connection itself needs; InvalidError names the field of an origin that is none."""
    for field in manifest.config:
        if field.kind == "origin" and settings.get(field.name):
            settings[field.name] = _origin(field.name, str(settings[field.name]))
    connection.settings = {**connection.settings, **settings}


def _origin(name: str, value: str) -> str:
    parts = urlsplit(value.strip())
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        raise InvalidError("The address does not fit.", {name: "Give an address of the form https://crm.example.com."})
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidError("The address does not fit.", {name: "Give the address only up to the host, without a path."})
    return f"{parts.scheme}://{parts.netloc.lower()}"


def save_credentials(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, manifest: Manifest, settings: dict[str, Any],
    secrets: dict[str, str], *, user_id: uuid.UUID,
) -> None:  # fmt: skip
    """Keep settings, seal secrets, and have a worker test the connection; the page polls its state."""
    connection = get_connection(tenant_id, connection_id)
    save_settings(connection, manifest, settings)
    for field, value in secrets.items():
        if value:
            credentials.seal_secret(tenant_id, connection_id, field, value)
    # Until it has been tested it may be another account than before: nothing is synced with it.
    connection.connected_by, connection.tested_at = user_id, None
    if any(secrets.values()):
        installation = installation_of(tenant_id, connection_id)
        audit.write(tenant_id, "connection.entered", "installation", str(installation.id), installation.name)
    request_test(tenant_id, connection)


def request_test(tenant_id: uuid.UUID, connection: Connection) -> None:
    """Have a worker prove the connection by a real call."""
    connection.state = "testing"
    _clear_error(connection)
    host = vendor_hosts.host_of_connection(tenant_id, connection.id)
    tasks.add_task(tenant_id, "fast", "test_connection", str(connection.id), ref=connection.id, host=host)


def _clear_error(connection: Connection) -> None:
    connection.error_code = connection.error_message = connection.error_fix = None


def accept(tenant_id: uuid.UUID, connection: Connection, account: Account) -> None:
    """The test has worked: keep the account, close what only a working connection closes, go on syncing.

    A different account than before is refused: its records would be taken for those of the old one.
    """
    if connection.account_id not in (None, account.id):
        connection.state = "reconnect"
        connection.error_code = "account_changed"
        connection.error_message = f"This is the account {account.name}, but {connection.account_name} was connected."
        connection.error_fix = f"Connect {connection.account_name} again, or install a second copy for {account.name}."
        return
    connection.account_id, connection.account_name = account.id, account.name
    connection.state, connection.tested_at = "ready", now()
    _clear_error(connection)
    other = _same_account(tenant_id, connection, account)
    if other:
        connection.error_code = "account_twice"
        connection.error_message = f"{account.name} is connected already, by the installation “{other}”."
        connection.error_fix = "That works, as long as the two sync different data. Else discard this draft."
    installation = installation_of(tenant_id, connection.id)
    problems.close_tested(tenant_id, installation.id)
    # A secret that signs may have been entered anew, and what failed may work now.
    endpoints.look_again(tenant_id, installation.id)
    if installation.blocked_code in BY_TEST:
        installation.blocked_code = None
        host = vendor_hosts.host_of(tenant_id, installation.id)
        tasks.add_task(tenant_id, "sync", "sync", str(installation.id), ref=installation.id, host=host)


def installation_of(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> Installation:
    """Return the installation that has this connection."""
    return db.session.scalars(scoped(Installation, tenant_id).where(Installation.connection_id == connection_id)).one()


def refuse(tenant_id: uuid.UUID, connection_id: uuid.UUID, error: ConnectorError) -> None:
    """The test has not worked: say why; a connection that worked before asks to be connected again."""
    connection = get_connection(tenant_id, connection_id)
    # A vendor that is down says nothing about an access that was refused before.
    refused = error.code == "reconnect" or installation_of(tenant_id, connection_id).blocked_code == "reconnect"
    connection.state = "reconnect" if connection.account_id and refused else "new"
    if connection.account_id and not refused:
        connection.state = "ready" if connection.tested_at else "new"
    connection.error_code, connection.error_message, connection.error_fix = error.code, error.user_message, error.fix


def refuse_authorisation(tenant_id: uuid.UUID, connection_id: uuid.UUID, error: ConnectorError) -> None:
    """A new authorisation has not worked: say why; the connection is what it was before."""
    connection = get_connection(tenant_id, connection_id)
    asked = connection.error_code == "reconnect"
    connection.state = "reconnect" if asked else "ready" if connection.tested_at else "new"
    # Its problem stays open where a person must act anyway; the words are those of the newest try.
    connection.error_code = "reconnect" if asked else "authorisation_failed"
    connection.error_message, connection.error_fix = error.user_message, error.fix


def authorised(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> None:
    """New tokens are there: until a test it may be another account than before, and nothing is synced with it."""
    get_connection(tenant_id, connection_id).tested_at = None


def ask_reconnect(tenant_id: uuid.UUID, connection_id: uuid.UUID, message: str, fix: str) -> None:
    """The grant is gone: only a person can connect again."""
    db.session.execute(
        update(Connection)
        # One that was ended meanwhile stays ended.
        .where(Connection.tenant_id == tenant_id, Connection.id == connection_id, Connection.state != "revoked")
        .values(state="reconnect", error_code="reconnect", error_message=message, error_fix=fix)
    )


def keep_values(tenant_id: uuid.UUID, connection_id: uuid.UUID, values: dict[str, Any]) -> None:
    """Keep values of a callback or token answer that addresses and requests are made of, as `{kept.instance_url}`."""
    connection = get_connection(tenant_id, connection_id)
    known = {name: value for name, value in values.items() if value is not None}
    connection.settings = {**connection.settings, "kept": {**(connection.settings.get("kept") or {}), **known}}


def keep_choices(tenant_id: uuid.UUID, connection_id: uuid.UUID, choices: dict[str, list[Choice]]) -> None:
    """Keep the choices that the account offers for config fields."""
    connection = get_connection(tenant_id, connection_id)
    connection.choices = {
        field: [{"value": choice.value, "label": choice.label} for choice in found] for field, found in choices.items()
    }


def keep_revocation(tenant_id: uuid.UUID, connection_id: uuid.UUID, outcome: str) -> None:
    """Keep what became of giving the access back."""
    connection = get_connection(tenant_id, connection_id)
    connection.revocation = outcome
    audit.write(
        tenant_id,
        "connection.revoked",
        "connection",
        str(connection_id),
        connection.account_name or "",
        installation_id=installation_of(tenant_id, connection_id).id,
        outcome=outcome,
    )


def _same_account(tenant_id: uuid.UUID, connection: Connection, account: Account) -> str | None:
    """Return the name of another installation that has this account connected, None when there is none."""
    query = (
        db.select(Installation.name)
        .join(Connection, (Connection.tenant_id == Installation.tenant_id) & (Connection.id == Installation.connection_id))
        .where(
            Connection.tenant_id == tenant_id, Connection.connector == connection.connector,
            Connection.account_id == account.id, Connection.id != connection.id, Connection.state != "revoked",
        )
        .limit(1)
    )  # fmt: skip
    return db.session.scalar(query)


def disconnect(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> None:
    """Have the token given back at the vendor; the worker deletes the ciphertext afterwards, whatever it answers."""
    connection = get_connection(tenant_id, connection_id)
    connection.state = "revoked"
    host = vendor_hosts.host_of_connection(tenant_id, connection_id)
    tasks.add_task(tenant_id, "fast", "revoke", str(connection_id), ref=connection_id, host=host)


def count_connections(tenant_id: uuid.UUID) -> int:
    """Return how many connections work or need repair."""
    query = db.select(func.count()).where(Connection.tenant_id == tenant_id, Connection.state != "revoked")
    return db.session.scalar(query) or 0
