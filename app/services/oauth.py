"""OAuth 2.0, the platform's half: begin an authorisation, take in the callback. The worker exchanges the code.

State is single use, bound to session, user, tenant and connector, and lives ten minutes (RFC 9700, section 4.7).
"""

import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import delete, text

from app.clock import now
from app.crypto import Seal, token, token_hash
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.models.connections import OAuthState
from app.services import connections, credentials, oauth_clients, tasks, vendor_hosts
from app.tenancy import scoped
from connectors.sdk import Connector
from connectors.sdk.oauth import address, authorize_url
from connectors.sdk.schema.auth import Auth

_LIFE = timedelta(minutes=10)


def names_of(connector: Connector, settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the addresses of a manifest may name."""
    return {"config": settings, "origin": connector.origin(settings), "kept": settings.get("kept") or {}}


def begin(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, connector: Connector, *, session_id: uuid.UUID,
    user_id: uuid.UUID, redirect_uri: str,
) -> str:  # fmt: skip
    """Return the address of the vendor's consent page; optional scopes that the settings leave out are not asked for. ConflictError when the operator has no application there."""
    slug = connector.manifest.slug
    if connector.manifest.auth_for(connections.of_installation(tenant_id, installation_id).settings).kind != "oauth2":
        raise ConflictError("This connection is not made by a sign-in. Choose that way to connect first.")
    client_id = oauth_clients.client_id_of(slug)
    if client_id is None:
        raise ConflictError(
            f"{connector.manifest.listing.name} cannot be connected yet: this deployment has no application there.",
            code="no_oauth_client", fix="Ask the operator to add one.",
        )  # fmt: skip
    connection = connections.of_installation(tenant_id, installation_id)
    state, verifier = token(), secrets.token_urlsafe(48)
    row = OAuthState(
        tenant_id=tenant_id, state_hash=token_hash(state), session_id=session_id, user_id=user_id,
        installation_id=installation_id, connection_id=connection.id, connector=slug, redirect_uri=redirect_uri,
        verifier_sealed=b"", expires_at=now() + _LIFE,
    )  # fmt: skip
    db.session.add(row)
    db.session.flush()  # The seal is bound to its id.
    row.verifier_sealed = credentials.ring().seal("token", verifier.encode(), _seal(row, "verifier"))
    return authorize_url(
        connector.manifest.auth_for(connection.settings), client_id, redirect_uri, state=state, verifier=verifier,
        names=names_of(connector, connection.settings), left_out=connection.settings.get("left_out") or (),
    )  # fmt: skip


def _seal(row: OAuthState, field: str) -> Seal:
    return Seal(row.tenant_id, row.id, field, 1)


def tenant_of_state(state: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return (tenant, state id) of a state from a callback, before a tenant is known."""
    row = db.session.execute(
        text("SELECT tenant_id, state_id FROM lookup_oauth_state(:hash)"), {"hash": token_hash(state)}
    ).first()
    return (row[0], row[1]) if row else None


def bad_state() -> NotFoundError:
    """Return the one answer to every callback that does not fit, whatever is wrong with it."""
    return NotFoundError("This authorisation does not belong to your session, or has been used.", code="bad_state")


def _take_state(
    tenant_id: uuid.UUID, state_id: uuid.UUID, session_id: uuid.UUID, user_id: uuid.UUID, connector: Connector
) -> OAuthState:
    row = db.session.scalar(scoped(OAuthState, tenant_id).where(OAuthState.id == state_id).with_for_update())
    good = (
        row is not None
        and row.session_id == session_id
        and row.user_id == user_id
        and row.connector == connector.manifest.slug
        and row.expires_at > now()
        and row.code_sealed is None
    )
    if row is None or not good:
        raise bad_state()
    return row


def take_callback(
    tenant_id: uuid.UUID, state_id: uuid.UUID, *, session_id: uuid.UUID, user_id: uuid.UUID, connector: Connector,
    code: str, issuer: str | None, sent: Mapping[str, str] | None = None,
) -> uuid.UUID:  # fmt: skip
    """Keep the code for the worker, and of what was `sent` what the manifest keeps; return the installation.

    NotFoundError whatever does not fit, same for all.
    """
    row = _take_state(tenant_id, state_id, session_id, user_id, connector)
    connection = connections.get_connection(tenant_id, row.connection_id)
    auth = connector.manifest.auth_for(connection.settings)
    if not code or not _is_issuer(connector, auth, connection.settings, issuer):
        raise bad_state()
    row.kept = {name: sent[name][:200] for name in auth.keep_redirect if sent and name in sent}
    row.code_sealed = credentials.ring().seal("token", orjson.dumps({"code": code}), _seal(row, "code"))
    # What works goes on with its old tokens until new ones have come: anybody may bring a code that is none.
    connection.state, connection.connected_by = "testing", user_id
    host = vendor_hosts.host_of_connection(tenant_id, row.connection_id)
    tasks.add_task(tenant_id, "fast", "exchange_code", str(row.id), ref=row.id, host=host, max_attempts=2)
    return row.installation_id


def _is_issuer(connector: Connector, auth: Auth, settings: dict[str, Any], sent: str | None) -> bool:
    """Whether an answer comes from whom was asked (RFC 9207, 2.4): one that declares its issuer always sends it."""
    if sent is None:
        return auth.issuer is None
    names = names_of(connector, settings)
    expected = address(auth.issuer, names) if auth.issuer else connector.origin(settings)
    return sent.rstrip("/") == expected.rstrip("/")


def deny(
    tenant_id: uuid.UUID, state_id: uuid.UUID, *, session_id: uuid.UUID, user_id: uuid.UUID, connector: Connector
) -> uuid.UUID:
    """The person said no at the vendor: end the authorisation and return the installation."""
    row = _take_state(tenant_id, state_id, session_id, user_id, connector)
    name = connector.manifest.listing.name
    connection = connections.get_connection(tenant_id, row.connection_id)
    connection.error_code, connection.error_message = "denied", f"Access was not allowed at {name}."
    connection.error_fix = "Connect again and allow the access, or choose another account."
    db.session.delete(row)
    return row.installation_id


def take_code(tenant_id: uuid.UUID, state_id: uuid.UUID) -> tuple[OAuthState, str | None, str] | None:
    """Return (row, code, verifier) and blank the code, so that it is never sent twice. Workers only.

    The code is None when it has been taken before: that worker was lost. None when there is no such authorisation.
    """
    row = db.session.scalar(scoped(OAuthState, tenant_id).where(OAuthState.id == state_id).with_for_update())
    if row is None or row.code_sealed is None:
        return None
    if row.code_sealed == b"":
        return row, None, ""
    ring = credentials.ring()
    code = orjson.loads(ring.open("token", row.code_sealed, _seal(row, "code")))["code"]
    verifier = ring.open("token", row.verifier_sealed, _seal(row, "verifier")).decode()
    row.code_sealed = b""
    return row, code, verifier


def forget(tenant_id: uuid.UUID, state_id: uuid.UUID) -> None:
    """The authorisation has come to its end, good or bad."""
    db.session.execute(delete(OAuthState).where(OAuthState.tenant_id == tenant_id, OAuthState.id == state_id))
