"""An authorised external account, its sealed credentials, and OAuth in flight."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, Integer, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import IdModel, Json, TenantModel, Timestamp, tenant_fk


class Connection(TenantModel):
    """An external account. `state`: new (nothing entered), testing, ready, reconnect (a person must act), revoked."""

    __tablename__ = "connections"

    connector: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="new", server_default="new")
    account_id: Mapped[str | None] = mapped_column(Text)
    account_name: Mapped[str | None] = mapped_column(Text)
    # Values of config fields the connection itself needs: the origin and the like. Never a secret.
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    scopes: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    tested_at: Mapped[datetime | None] = mapped_column(Timestamp)
    connected_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_fix: Mapped[str | None] = mapped_column(Text)
    # Choices of config fields that the account itself offers: field -> [{value, label}].
    choices: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    # What became of giving the access back: given_back, no_address (the vendor has none), failed.
    revocation: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (CheckConstraint("state in ('new', 'testing', 'ready', 'reconnect', 'revoked')", name="state"),)


class Credential(TenantModel):
    """One sealed value of a connection: `field` is a secret config field, or `oauth` for the token set."""

    __tablename__ = "credentials"

    connection_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    field: Mapped[str] = mapped_column(Text)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    refresh_after: Mapped[datetime | None] = mapped_column(Timestamp)
    refresh_lease_token: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    refresh_lease_until: Mapped[datetime | None] = mapped_column(Timestamp)
    refresh_started_version: Mapped[int | None] = mapped_column(Integer)
    updated_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (tenant_fk("connection_id", "connections"), UniqueConstraint("tenant_id", "connection_id", "field"))


class OAuthState(TenantModel):
    """An authorisation under way: single use, bound to session, tenant and connector; ten minutes."""

    __tablename__ = "oauth_states"

    state_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    session_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    connection_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    connector: Mapped[str] = mapped_column(Text)
    redirect_uri: Mapped[str] = mapped_column(Text)
    verifier_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    # Set when the callback has come: the worker exchanges it and deletes the row.
    code_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    # Parameters of the callback that the manifest asks to keep, and the optional scopes that were not asked for.
    kept: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    left_out: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    expires_at: Mapped[datetime] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (tenant_fk("connection_id", "connections"), Index(None, "expires_at"))


class OAuthClient(IdModel):
    """The host's application at a vendor; the secret is sealed for workers."""

    __tablename__ = "oauth_clients"

    connector: Mapped[str] = mapped_column(Text, unique=True)
    client_id: Mapped[str] = mapped_column(Text)
    secret_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    # The day the vendor stops accepting the secret, as the operator entered it.
    expires_on: Mapped[date | None] = mapped_column(Date)
    tested_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # testing, accepted, or a sentence.
    test_result: Mapped[str | None] = mapped_column(Text)
