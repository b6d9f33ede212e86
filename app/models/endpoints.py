"""Webhooks in: the address a vendor sends to, its secrets, what came in, and what that says about records."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, tenant_fk

VERDICTS = ("accepted", "duplicate", "bad_signature", "stale", "unknown_account")


class Endpoint(TenantModel):
    """An address for webhooks: of one installation, or of a connector (no installation, the platform's own tenant).

    `state`: waiting (being registered, or for a person to enter it at the vendor), active, failed, removed. An
    installation whose vendor allows one address only has a row without an address: deliveries are routed to it.
    """

    __tablename__ = "endpoints"

    installation_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    connector: Mapped[str] = mapped_column(Text)
    # 128 random bits; whoever does not know it cannot even be refused expensively.
    address: Mapped[str | None] = mapped_column(Text)
    account: Mapped[str | None] = mapped_column(Text)
    host: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    # The vendor's id of the subscription, when it ends and when it is renewed.
    subscription: Mapped[str | None] = mapped_column(Text)
    registered_at: Mapped[datetime | None] = mapped_column(Timestamp)
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    renew_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # While this lasts, a handshake that brings the secret is believed although there is one.
    capture_until: Mapped[datetime | None] = mapped_column(Timestamp)
    rotate: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_fix: Mapped[str | None] = mapped_column(Text)
    # The silence that was looked into last: since when, with which run, and how many changes it found.
    silent_since: Mapped[datetime | None] = mapped_column(Timestamp)
    silence_run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    silence_checked_at: Mapped[datetime | None] = mapped_column(Timestamp)
    missed: Mapped[int | None] = mapped_column(Integer)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            tenant_fk("installation_id", "installations"),
            UniqueConstraint("tenant_id", "installation_id"),
            CheckConstraint("state in ('waiting', 'active', 'failed', 'removed')", name="state"),
            # Found by the address alone: the tenant is not known before.
            Index("ix_endpoints_address", "address", unique=True),
            Index("ix_endpoints_account", "connector", "account", postgresql_where=text("account is not null")),
            Index(
                "uq_endpoints_shared", "tenant_id", "connector",
                unique=True, postgresql_where=text("installation_id is null"),
            ),
        )  # fmt: skip


class EndpointSecret(TenantModel):
    """A sealed secret that may sign; openable by web. Several are active while one is exchanged for another."""

    __tablename__ = "endpoint_secrets"

    endpoint_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    version: Mapped[int] = mapped_column(Integer)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (tenant_fk("endpoint_id", "endpoints"), UniqueConstraint("tenant_id", "endpoint_id", "version"))


class Delivery(TenantModel):
    """A request as it came, with its verdict. Of accepted ones there is one for each event id."""

    __tablename__ = "deliveries"

    endpoint_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    event_id: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str] = mapped_column(Text)
    # What else there is to say: no_secret, no_signature, unreadable, nothing_for_us, copy.
    note: Mapped[str | None] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    headers: Mapped[dict[str, Any]] = mapped_column(Json)
    # Emptied before the row goes; sealed where the connector marks fields as sensitive.
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    sealed: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    size: Mapped[int] = mapped_column(Integer)
    # How often the same event came again, and when last.
    copies: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    copied_at: Mapped[datetime | None] = mapped_column(Timestamp)
    replays: Mapped[int] = mapped_column(Integer, default=0, server_default="0")

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("endpoint_id", "endpoints"),
            CheckConstraint(
                "verdict in ('accepted', 'duplicate', 'bad_signature', 'stale', 'unknown_account')", name="verdict"
            ),
            Index(
                "uq_deliveries_event", "tenant_id", "endpoint_id", "event_id",
                unique=True, postgresql_where=text("verdict = 'accepted'"),
            ),
            Index(
                "ix_deliveries_log", "tenant_id", "endpoint_id", "id", postgresql_include=["verdict", "copies"]
            ),
            Index(
                "ix_deliveries_refused", "tenant_id", "endpoint_id", "created_at",
                postgresql_where=text("verdict <> 'accepted'"),
            ),
        )  # fmt: skip


class Hint(TenantModel):
    """What a delivery says: that this external record, or the whole stream when `external_id` is empty, has changed.

    `state`: waiting, applied, nothing (it is as we have it), later (left to the next full pass), failed.
    """

    __tablename__ = "hints"

    delivery_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    settled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    error: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("delivery_id", "deliveries"),
            CheckConstraint("action in ('upsert', 'delete', 'resync')", name="action"),
            CheckConstraint("state in ('waiting', 'applied', 'nothing', 'later', 'failed')", name="state"),
            Index("ix_hints_delivery", "tenant_id", "delivery_id"),
            Index("ix_hints_failed", "tenant_id", "delivery_id", postgresql_where=text("state = 'failed'")),
            Index(
                "ix_hints_waiting", "tenant_id", "installation_id", "stream", "external_id",
                postgresql_where=text("state = 'waiting'"),
            ),
        )  # fmt: skip
