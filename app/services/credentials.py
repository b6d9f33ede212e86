"""Sealed credentials: stored by any process, opened by workers; refreshing takes a lease on the row.

Why a lease, a re-read after it and a save of its own: eight workers that refresh one rotating token at once destroyed
ten of ten grants; with these, none (reliability M14, 3.4).
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from flask import current_app
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.crypto import KeyRing, Seal
from app.db import db
from app.errors import ConflictError
from app.ids import new_id
from app.models.connections import Credential
from app.services import tasks, vendor_hosts
from app.tenancy import scoped
from connectors.sdk import Secret
from connectors.sdk.oauth import TokenSet

OAUTH = "oauth"
MARGIN = timedelta(seconds=60)
_IDLE = timedelta(days=1)
# Longer than the slowest token call can take (10 s to answer, 20 s in all, after 5 s to connect).
_LEASE = timedelta(seconds=30)


def ring() -> KeyRing:
    """Return the keys of this process."""
    found: KeyRing = current_app.extensions["keys"]
    return found


@dataclass(frozen=True)
class Tokens:
    """The token set of a connection as stored, opened."""

    version: int
    access_token: Secret
    refresh_token: Secret | None
    expires_at: datetime | None
    kept: dict[str, Any]
    refresh_after: datetime | None = None

    def usable(self) -> bool:
        """Whether the access token is good for another minute."""
        return self.expires_at is None or self.expires_at - MARGIN > now()


def seal_secret(tenant_id: uuid.UUID, connection_id: uuid.UUID, field: str, value: str) -> None:
    """Seal and store a secret; an old one is replaced. The web process can do this without reading anything."""
    version = _version(tenant_id, connection_id, field) + 1
    if not _store(tenant_id, connection_id, field, value.encode(), version):
        raise ConflictError(
            "Somebody else has changed this connection at the same moment. Load the page and try again."
        )


def _version(tenant_id: uuid.UUID, connection_id: uuid.UUID, field: str) -> int:
    query = select(Credential.version).where(
        Credential.tenant_id == tenant_id, Credential.connection_id == connection_id, Credential.field == field
    )
    return db.session.scalar(query) or 0


def _store(tenant_id: uuid.UUID, connection_id: uuid.UUID, field: str, value: bytes, version: int, **more: Any) -> bool:
    sealed = ring().seal("token", value, Seal(tenant_id, connection_id, field, version))
    values = {"sealed": sealed, "version": version, "updated_at": now(), **more}
    row = {"tenant_id": tenant_id, "id": new_id(), "connection_id": connection_id, "field": field, "created_at": now()}
    statement = insert(Credential).values({**row, **values})
    upsert = statement.on_conflict_do_update(
        index_elements=["tenant_id", "connection_id", "field"], set_=values, where=Credential.version == version - 1
    )
    return db.session.execute(upsert.returning(Credential.id)).first() is not None


def open_secrets(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> dict[str, Secret]:
    """Return the secrets of a connection, opened. Workers only: SealError elsewhere."""
    rows = db.session.scalars(scoped(Credential, tenant_id).where(Credential.connection_id == connection_id))
    return {row.field: Secret(_open(row).decode()) for row in rows if row.field != OAUTH}


def _open(row: Credential) -> bytes:
    return ring().open("token", row.sealed, Seal(row.tenant_id, row.connection_id, row.field, row.version))


def open_tokens(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> Tokens | None:
    """Return the token set of a connection, None when there is none."""
    row = db.session.scalar(
        scoped(Credential, tenant_id).where(Credential.connection_id == connection_id, Credential.field == OAUTH)
    )
    if row is None:
        return None
    data = orjson.loads(_open(row))
    refresh = data.get("refresh_token")
    return Tokens(
        row.version, Secret(data["access_token"]), Secret(refresh) if refresh else None, row.expires_at,
        data.get("kept") or {}, row.refresh_after,
    )  # fmt: skip


def save_tokens(
    tenant_id: uuid.UUID, connection_id: uuid.UUID, tokens: TokenSet, *, after_version: int | None = None
) -> bool:
    """Store a token set as the version after `after_version`; its transaction is committed before anything else.

    False when that version is no longer the newest: a refresher that was paused must not replace what came after it.
    Without `after_version` (a new authorisation by a person) the tokens win over whatever is there.
    """
    if after_version is None:
        after_version = _version(tenant_id, connection_id, OAUTH)
    refresh = tokens.refresh_token.reveal() if tokens.refresh_token else None
    value = {"access_token": tokens.access_token.reveal(), "refresh_token": refresh, "kept": dict(tokens.kept)}
    due = _refresh_after(connection_id, tokens.expires_at)
    stored = _store(
        tenant_id, connection_id, OAUTH, orjson.dumps(value), after_version + 1, expires_at=tokens.expires_at,
        refresh_after=due, refresh_lease_until=None, refresh_started_version=None,
    )  # fmt: skip
    if stored and refresh:
        host = vendor_hosts.host_of_connection(tenant_id, connection_id)
        tasks.add_task(tenant_id, "fast", "refresh_token", str(connection_id), ref=connection_id, host=host, due_at=due)
    return stored


def _refresh_after(connection_id: uuid.UUID, expires_at: datetime | None) -> datetime:
    # At 75 to 85 % of its life, each connection at its own moment; at least daily, because some vendors end a grant
    # whose refresh token has not been used for a while.
    spread = int.from_bytes(hashlib.sha256(connection_id.bytes).digest()[:2], "big") / 2**16
    life = min(expires_at - now(), _IDLE) if expires_at else _IDLE
    return now() + life * (0.75 + 0.1 * spread)


def take_refresh_lease(tenant_id: uuid.UUID, connection_id: uuid.UUID, version: int) -> int | None:
    """Be the one who refreshes this version; return the lease's number.

    None while another holds the lease or has already saved.
    """
    return db.session.scalar(
        update(Credential)
        .where(
            Credential.tenant_id == tenant_id,
            Credential.connection_id == connection_id,
            Credential.field == OAUTH,
            Credential.version == version,
            func.coalesce(Credential.refresh_lease_until, func.to_timestamp(0)) < func.clock_timestamp(),
        )
        .values(
            refresh_lease_until=func.clock_timestamp() + _LEASE,
            refresh_lease_token=Credential.refresh_lease_token + 1,
            refresh_started_version=version,
        )
        .returning(Credential.refresh_lease_token),
        execution_options={"synchronize_session": False},
    )


def drop_refresh_lease(tenant_id: uuid.UUID, connection_id: uuid.UUID, lease: int) -> None:
    """Let others try: the refresh has failed for a passing reason. A lease that is another's by now is left alone."""
    db.session.execute(
        update(Credential)
        .where(
            Credential.tenant_id == tenant_id, Credential.connection_id == connection_id, Credential.field == OAUTH,
            Credential.refresh_lease_token == lease,
        )
        .values(refresh_lease_until=None)
    )  # fmt: skip


def delete_all(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> None:
    """Delete every credential of a connection."""
    db.session.execute(
        delete(Credential).where(Credential.tenant_id == tenant_id, Credential.connection_id == connection_id)
    )
