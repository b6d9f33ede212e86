"""Events out: what has happened, who wants to hear of it, what is sent to whom, and each try of it.

Changes of records are no rows of `events`: their journal is their outbox (models/records.py).
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, db, moment, tenant_fk

NEW = text("fan_out = 'new'")


class Event(TenantModel):
    """Something that has happened to an installation, a run, a conflict, a problem or a subscription.

    Written by triggers of those tables (migrations 0020 and 0031), so that no statement can leave it out.
    """

    __tablename__ = "events"

    type: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    data: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    fan_out: Mapped[str] = mapped_column(Text, default="new", server_default="new")

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index("ix_events_new", "tenant_id", "id", postgresql_where=NEW),
            CheckConstraint("fan_out in ('new', 'done')", name="fan_out"),
        )


class EventSequence(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """How many events there have been of one record, installation and so on, since somebody listens."""

    __tablename__ = "event_sequences"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "subject_id"),)

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    subject_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    sequence: Mapped[int] = mapped_column(BigInteger)


class Subscription(TenantModel):
    """Where events are sent, and which. One of the platform's tenant hears of all tenants.

    `state`: active, disabled (`disabled_code` says by whom: person, gone, failing), removed. Empty lists narrow nothing.
    """

    __tablename__ = "subscriptions"

    name: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    types: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    object_types: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    fields: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    state: Mapped[str] = mapped_column(Text, default="active", server_default="active")
    disabled_code: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # Since when every try has failed.
    failing_since: Mapped[datetime | None] = mapped_column(Timestamp)
    delivered_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # The endpoint has asked for quiet until then.
    not_before: Mapped[datetime | None] = mapped_column(Timestamp)
    # sync.breaker's, as JSON; none while nothing has failed.
    breaker: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    updated_at: Mapped[datetime] = moment()

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            CheckConstraint("state in ('active', 'disabled', 'removed')", name="state"),
            CheckConstraint("disabled_code in ('person', 'gone', 'failing')", name="disabled_code"),
        )


class SigningSecret(TenantModel):
    """The signing secret of a subscription or of a destination, sealed: only workers open it.

    During a rotation there are two until the old one expires.
    """

    __tablename__ = "signing_secrets"

    subscription_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    destination_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("subscription_id", "subscriptions"),
            tenant_fk("destination_id", "destinations"),
            Index("ix_signing_secrets_subscription", "tenant_id", "subscription_id"),
            Index("ix_signing_secrets_destination", "tenant_id", "destination_id"),
            CheckConstraint("num_nonnulls(subscription_id, destination_id) = 1", name="owner"),
        )


class Dispatch(TenantModel):
    """One event to one subscription, with the very bytes that are sent.

    `state`: pending, sending, delivered, failed (all tries used, or the subscription was switched off). `tries` are
    those since it was last asked for, `attempts` all there have been.
    """

    __tablename__ = "dispatches"

    subscription_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    # Of the event or of the change: it is the message's id, and the same at each try.
    event_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    type: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    sequence: Mapped[int] = mapped_column(BigInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(Text, default="pending", server_default="pending")
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    due_at: Mapped[datetime] = moment()
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # What the last try came to, for lists.
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("subscription_id", "subscriptions"),
            UniqueConstraint("tenant_id", "subscription_id", "event_id"),
            Index(
                "ix_dispatches_due", "tenant_id", "subscription_id", "due_at", "id",
                postgresql_where=text("state = 'pending'"),
            ),
            Index("ix_dispatches_sending", "tenant_id", "id", postgresql_where=text("state = 'sending'")),
            Index("ix_dispatches_log", "tenant_id", "subscription_id", "id"),
            Index(
                "ix_dispatches_failed", "tenant_id", "subscription_id", "id",
                postgresql_where=text("state = 'failed'"),
            ),
            CheckConstraint("state in ('pending', 'sending', 'delivered', 'failed')", name="state"),
        )  # fmt: skip


class Attempt(TenantModel):
    """One try of a dispatch, written before it is made. `outcome`: sending, delivered, failed, lost (with its worker)."""

    __tablename__ = "attempts"

    dispatch_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(Text, default="sending", server_default="sending")
    ms: Mapped[int | None] = mapped_column(Integer)
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    # The start of the answer.
    response: Mapped[str | None] = mapped_column(Text)
    next_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("dispatch_id", "dispatches"),
            Index("ix_attempts_dispatch", "tenant_id", "dispatch_id", "id"),
            CheckConstraint("outcome in ('sending', 'delivered', 'failed', 'lost')", name="outcome"),
        )
