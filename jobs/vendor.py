"""A connector and a session to call it with: opens credentials, refreshes a token when it is about to expire."""

import time
import uuid
from collections.abc import Callable
from typing import Any

from flask import current_app

from app.clock import now
from app.config import Settings
from app.services import connections, credentials, listings, oauth, runs
from app.services.credentials import Tokens
from app.transaction import guard_outside, outside, transaction
from connectors.sdk import (
    AuthError,
    Connector,
    ConnectorError,
    Exchange,
    HttpClient,
    Pace,
    Secret,
    Session,
    UnavailableError,
)
from connectors.sdk import oauth as vendor_oauth

_WAIT_SECONDS = 12.0


def http_client(
    connector: Connector, settings: dict[str, Any], on_exchange: Callable[[Exchange], None] | None = None
) -> HttpClient:
    """Return a client that may call this connector's hosts and no others, and never inside a transaction."""
    config: Settings = current_app.extensions["settings"]
    return HttpClient(
        hosts=connector.hosts(settings), allow=config.egress_allow, guard=guard_outside, on_exchange=on_exchange
    )


def vendor_session(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, *, on_exchange: Callable[[Exchange], None] | None = None,
    refresh: bool = False,
) -> tuple[Connector, Session]:  # fmt: skip
    """Return the installation's pinned connector and a session; `refresh` asks for a new token in any case.

    AuthError when the customer must connect again, UnavailableError when the vendor's token endpoint is down.
    """
    with transaction():
        installation = runs.get_installation(tenant_id, installation_id)
        connection = connections.get_connection(tenant_id, installation.connection_id)
        connector = listings.connector_of(installation.listing_version_id)
        settings = {**connection.settings, **installation.settings}
        secrets = credentials.open_secrets(tenant_id, connection.id)
        tokens = credentials.open_tokens(tenant_id, connection.id)
    http = http_client(connector, settings, on_exchange)
    if connector.manifest.auth.kind == "oauth2":
        if tokens is None:
            raise AuthError("There is no token for this connection.")
        if refresh or not tokens.usable():
            tokens = refresh_tokens(tenant_id, connection.id, connector, settings, http, tokens)
        secrets["access_token"] = tokens.access_token
    return connector, Session(settings, secrets, http, Pace(connector.manifest.limits))


def refresh_tokens(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, connector: Connector, settings: dict[str, Any],
    http: HttpClient, known: Tokens,
) -> Tokens:  # fmt: skip
    """Return newer tokens than `known`: one process calls the vendor, the others wait for what it stores."""
    ends = time.monotonic() + _WAIT_SECONDS
    while True:
        with transaction():
            # Read again after the lease is ours: whoever had it before may have stored new ones meanwhile.
            mine = credentials.take_refresh_lease(tenant_id, connection_id, known.version)
            tokens = credentials.open_tokens(tenant_id, connection_id)
            client = credentials.open_client(connector.manifest.slug)
        if tokens is None:
            raise AuthError("The connection has been removed meanwhile.")
        if tokens.version != known.version:
            return tokens
        if mine:
            return _call(tenant_id, connection_id, connector, settings, http, tokens, client)
        if time.monotonic() > ends:
            raise UnavailableError("Another process has been refreshing the token for too long.")
        time.sleep(0.1)


def _call(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, connector: Connector, settings: dict[str, Any],
    http: HttpClient, tokens: Tokens, client: vendor_oauth.OAuthClient | None,
) -> Tokens:  # fmt: skip
    name = connector.manifest.listing.name
    try:
        if client is None or tokens.refresh_token is None:
            raise AuthError(f"The token of {name} has expired and cannot be renewed.")
        with outside():
            fresh = vendor_oauth.refresh(
                http, connector.manifest.auth, client, tokens.refresh_token,
                names=oauth.names_of(connector, settings), at=now(),
            )  # fmt: skip
    except AuthError as error:
        error.user_message = f"{name} no longer accepts the connection."
        with transaction():
            connections.ask_reconnect(tenant_id, connection_id, error.user_message, error.fix)
        raise
    except ConnectorError:
        with transaction():
            credentials.drop_refresh_lease(tenant_id, connection_id)
        raise
    with transaction():
        credentials.save_tokens(tenant_id, connection_id, fresh, after_version=tokens.version)
    return Tokens(
        tokens.version + 1, fresh.access_token, fresh.refresh_token or Secret(""), fresh.expires_at, dict(fresh.kept)
    )
