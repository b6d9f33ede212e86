"""A connector and a session to call it with: opens credentials, refreshes a token when it is about to expire."""

import time
import uuid
from collections.abc import Callable
from typing import Any

from flask import current_app

from app.clock import now
from app.config import Settings
from app.limiter import SharedLimiter
from app.models.connections import Connection
from app.services import connections, credentials, listings, mappings, oauth, oauth_clients, runs, vendor_hosts
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
from connectors.sdk import jwt as vendor_jwt
from connectors.sdk import oauth as vendor_oauth
from connectors.sdk.manifest import Auth
from jobs import calls
from jobs.calls import MeteredClient, Vendor

_WAIT_SECONDS = 12.0
# Twice this in all; the lease on the credential row lasts longer, so two never send the same token.
_TOKEN_SECONDS = 10.0


def vendor_of(connector: Connector, settings: dict[str, Any], connection_id: uuid.UUID | None = None) -> Vendor:
    """Return who is called, for the breakers."""
    return Vendor(connector.manifest.listing.name, vendor_hosts.host_at(connector, settings), connection_id)


def http_client(
    connector: Connector, settings: dict[str, Any], on_exchange: Callable[[Exchange], None] | None = None,
    *, timeout: float = 15.0, connection_id: uuid.UUID | None = None,
) -> HttpClient:  # fmt: skip
    """Return a client that may call this connector's hosts and no others, and never inside a transaction."""
    config: Settings = current_app.extensions["settings"]
    return MeteredClient(
        hosts=connector.hosts(settings), allow=config.egress_allow, guard=guard_outside, on_exchange=on_exchange,
        timeout=timeout, vendor=vendor_of(connector, settings, connection_id), calls=calls.current(),
    )  # fmt: skip


def vendor_session(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, *, on_exchange: Callable[[Exchange], None] | None = None,
    refresh: bool = False, testing: bool = False, retry: bool = False,
) -> tuple[Connector, Session]:  # fmt: skip
    """Return the installation's pinned connector and a session; `refresh` asks for a new token in any case.

    AuthError when the customer must connect again, VendorDownError while the vendor is not called (`retry`: for what
    repeats a failed call there is a budget), UnavailableError when its token endpoint is down. Only the test itself
    (`testing`) may use a connection that has not been tested: it may be another account.
    """
    with transaction():
        installation = runs.get_installation(tenant_id, installation_id)
        connection = connections.get_connection(tenant_id, installation.connection_id)
        if not testing:
            _require_working(connection)
        connector = listings.connector_of(installation.listing_version_id)
        settings = {**connection.settings, **installation.settings}
        sources = mappings.sources_of(tenant_id, installation_id)
        secrets = credentials.open_secrets(tenant_id, connection.id)
        tokens = credentials.open_tokens(tenant_id, connection.id)
        calls.current().enter(vendor_of(connector, settings, connection.id), retry=retry, testing=testing)
    auth = connector.manifest.auth_for(settings)
    if auth.has_token:
        if auth.kind != "oauth2":
            tokens = _own_tokens(tenant_id, connection.id, connector, settings, secrets, tokens, refresh=refresh)
        elif tokens is None:
            raise AuthError("There is no token for this connection.")
        elif refresh or not tokens.usable():
            tokens = refresh_tokens(tenant_id, connection.id, connector, settings, tokens, on_exchange)
        secrets["access_token"] = tokens.access_token
        settings["kept"] = {**(settings.get("kept") or {}), **tokens.kept}
    shared = SharedLimiter(current_app.extensions["settings"].redis_url.get_secret_value(), str(connection.id))
    pace = Pace(connector.manifest.limits, shared)
    http = http_client(connector, settings, on_exchange, connection_id=connection.id)
    return connector, Session(settings, secrets, http, pace, sources=sources)


def _own_tokens(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, connector: Connector, settings: dict[str, Any],
    secrets: dict[str, Secret], known: Tokens | None, *, refresh: bool,
) -> Tokens:  # fmt: skip
    """Return a token that we can ask for ourselves at any time: nothing rotates, so nobody has to wait for anybody."""
    if known is not None and known.usable() and not refresh:
        return known
    auth, names = connector.manifest.auth_for(settings), oauth.names_of(connector, settings)
    http = http_client(connector, settings, timeout=_TOKEN_SECONDS, connection_id=connection_id)
    with transaction():
        client = oauth_clients.open_client(connector.manifest.slug)
    try:
        with outside():
            if auth.kind == "jwt_bearer":
                assert auth.jwt is not None
                fresh = vendor_jwt.obtain(http, auth, secrets[auth.jwt.key], names=names, at=now())
            else:
                fresh = vendor_oauth.client_credentials(
                    http, auth, _client_of(auth, settings, secrets, client), names=names, at=now()
                )
    except AuthError as error:
        with transaction():
            connections.ask_reconnect(tenant_id, connection_id, error.user_message, error.fix)
        raise
    with transaction():
        credentials.save_tokens(tenant_id, connection_id, fresh, after_version=known.version if known else 0)
        newest = credentials.open_tokens(tenant_id, connection_id)
    if newest is None:
        raise AuthError("The connection has been removed meanwhile.")
    return newest


def _client_of(
    auth: Auth, settings: dict[str, Any], secrets: dict[str, Secret], ours: vendor_oauth.OAuthClient | None
) -> vendor_oauth.OAuthClient:
    if auth.client_id and auth.client_secret:
        return vendor_oauth.OAuthClient(str(settings.get(auth.client_id) or ""), secrets[auth.client_secret])
    if ours is None:
        raise AuthError("There is no application for this connector.")
    return ours


def _require_working(connection: Connection) -> None:
    if connection.state == "ready" or (connection.state == "testing" and connection.tested_at):
        return
    if connection.state == "testing":
        raise UnavailableError("The connection is being tested.", user_message="The connection is being tested.")
    raise AuthError(
        f"The connection is {connection.state}.", user_message=connection.error_message or "",
        fix=connection.error_fix or "",
    )  # fmt: skip


def refresh_tokens(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, connector: Connector, settings: dict[str, Any],
    known: Tokens, on_exchange: Callable[[Exchange], None] | None = None,
) -> Tokens:  # fmt: skip
    """Return newer tokens than `known`: one process calls the vendor, the others wait for what it stores."""
    http = http_client(connector, settings, on_exchange, timeout=_TOKEN_SECONDS, connection_id=connection_id)
    ends = time.monotonic() + _WAIT_SECONDS
    while True:
        with transaction():
            # Read again after the lease is ours: whoever had it before may have stored new ones meanwhile.
            lease = credentials.take_refresh_lease(tenant_id, connection_id, known.version)
            tokens = credentials.open_tokens(tenant_id, connection_id)
            client = oauth_clients.open_client(connector.manifest.slug)
            state = connections.get_connection(tenant_id, connection_id).state
        if tokens is None:
            raise AuthError("The connection has been removed meanwhile.")
        if tokens.version != known.version:
            return tokens
        if state in ("reconnect", "revoked"):
            raise AuthError("The grant has ended meanwhile.")
        if lease is not None:
            return _call(tenant_id, connection_id, connector, settings, http, tokens, client, lease)
        if time.monotonic() > ends:
            raise UnavailableError("Another process has been refreshing the token for too long.")
        time.sleep(0.1)


def _call(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, connector: Connector, settings: dict[str, Any],
    http: HttpClient, tokens: Tokens, client: vendor_oauth.OAuthClient | None, lease: int,
) -> Tokens:  # fmt: skip
    name = connector.manifest.listing.name
    try:
        if client is None or tokens.refresh_token is None:
            raise AuthError(f"The token of {name} has expired and cannot be renewed.")
        with outside():
            fresh = vendor_oauth.refresh(
                http, connector.manifest.auth_for(settings), client, tokens.refresh_token,
                names=oauth.names_of(connector, settings), at=now(),
            )  # fmt: skip
    except AuthError as error:
        error.user_message = f"{name} no longer accepts the connection."
        with transaction():
            newest = credentials.open_tokens(tenant_id, connection_id)
            # A sibling may have won while this process was paused: then the refusal is about an old token.
            if newest is not None and newest.version != tokens.version:
                return newest
            connections.ask_reconnect(tenant_id, connection_id, error.user_message, error.fix)
            credentials.drop_refresh_lease(tenant_id, connection_id, lease)
        raise
    except ConnectorError:
        with transaction():
            credentials.drop_refresh_lease(tenant_id, connection_id, lease)
        raise
    with transaction():
        credentials.save_tokens(tenant_id, connection_id, fresh, after_version=tokens.version)
        newest = credentials.open_tokens(tenant_id, connection_id)
    if newest is None:
        raise AuthError("The connection has been removed meanwhile.")
    return newest
