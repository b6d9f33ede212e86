"""A tenant's installed copy of a listing: settings, streams, mappings, schedule."""

import uuid
from datetime import datetime, time
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    Time,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, moment, tenant_fk

STEPS = ("connect", "configure", "map", "activate")


class Installation(TenantModel):
    """`state`: setting_up, active, paused, removed. The status word people see is computed in app/sync/status.py."""

    __tablename__ = "installations"

    connector: Mapped[str] = mapped_column(Text)
    listing_version_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    connection_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="setting_up", server_default="setting_up")
    step: Mapped[str] = mapped_column(Text, default="connect", server_default="connect")
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    created_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    activated_at: Mapped[datetime | None] = mapped_column(Timestamp)
    paused_reason: Mapped[str | None] = mapped_column(Text)
    # Stopped until a person acts: the code of the open problem that stopped it.
    blocked_code: Mapped[str | None] = mapped_column(Text)
    failures_in_row: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    last_success_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # What was asked for when it was removed, and how far that is: services/removals.py has its form.
    removal: Mapped[dict[str, Any] | None] = mapped_column(Json)
    updated_at: Mapped[datetime] = moment()

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            ForeignKeyConstraint(["listing_version_id"], ["listing_versions.id"]),
            tenant_fk("connection_id", "connections"),
            UniqueConstraint("tenant_id", "connection_id"),
            CheckConstraint("state in ('setting_up', 'active', 'paused', 'removed')", name="state"),
            CheckConstraint("step in ('connect', 'configure', 'map', 'activate')", name="step"),
        )


class InstallationStream(TenantModel):
    """One stream of an installation: whether and how it is synced, and where the next incremental pass starts."""

    __tablename__ = "installation_streams"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    object_type: Mapped[str] = mapped_column(Text)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True, server_default="true")
    direction: Mapped[str] = mapped_column(Text, default="in", server_default="in")
    conflict_policy: Mapped[str] = mapped_column(Text, default="theirs", server_default="theirs")
    delete_policy: Mapped[str] = mapped_column(Text, default="mirror", server_default="mirror")
    mapping_version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    # Live only while the installation is: two may not sync the same stream of the same external account.
    connector: Mapped[str] = mapped_column(Text)
    claimed_account: Mapped[str | None] = mapped_column(Text)
    since: Mapped[str | None] = mapped_column(Text)
    full_pass_due: Mapped[bool] = mapped_column(Boolean, default=True, server_default="true")
    last_complete_at: Mapped[datetime | None] = mapped_column(Timestamp)
    fields: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, server_default="[]")
    fields_checked_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # Records up to this id have been looked at for those the other side lacks, after a full pass; none while that is done.
    missing_after: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    # Changes after this one are told to this stream; none before its first full pass, which finds what it lacks.
    told_from: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    # What the dry run predicted of the first run: kind -> [least, most]; empty once that run has kept it.
    promise: Mapped[dict[str, Any] | None] = mapped_column(Json)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            UniqueConstraint("tenant_id", "installation_id", "stream"),
            CheckConstraint("direction in ('in', 'out', 'both')", name="direction"),
            CheckConstraint("conflict_policy in ('theirs', 'ours', 'newest', 'ask')", name="conflict_policy"),
            Index(
                "uq_installation_streams_claimed", "tenant_id", "connector", "claimed_account", "stream",
                unique=True, postgresql_where=text("claimed_account is not null"),
            ),
            CheckConstraint("delete_policy in ('mirror', 'archive', 'ignore')", name="delete_policy"),
        )  # fmt: skip


class Mapping(TenantModel):
    """One version of a stream's mapping; `rules` and `filters` are the SDK's JSON forms. Never changed."""

    __tablename__ = "mappings"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    rules: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    filters: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, server_default="[]")
    created_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            UniqueConstraint("tenant_id", "installation_id", "stream", "version"),
        )


class Schedule(TenantModel):
    """When an installation runs. Holds no customer data: the dispatcher reads all tenants' schedules."""

    __tablename__ = "schedules"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text, default="interval", server_default="interval")
    minutes: Mapped[int] = mapped_column(Integer, default=15, server_default="15")
    at: Mapped[time | None] = mapped_column(Time)
    zone: Mapped[str] = mapped_column(Text, default="UTC", server_default="UTC")
    next_due_at: Mapped[datetime | None] = mapped_column(Timestamp)
    active: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    # Since when this rhythm is promised: it began, was changed, or goes on after a pause.
    promised_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # The vendor's, for the tasks that the dispatcher makes of it.
    host: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            UniqueConstraint("tenant_id", "installation_id"),
            CheckConstraint("kind in ('interval', 'hourly', 'daily', 'manual')", name="kind"),
            CheckConstraint("minutes between 1 and 10080", name="minutes"),
            Index("ix_schedules_due", "next_due_at", postgresql_where=text("active")),
        )


class Preview(TenantModel):
    """A question a page has for the vendor (choices, a mapped sample record, a dry run) and the worker's answer."""

    __tablename__ = "previews"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    stream: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    request: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    result: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    # Where a dry run stands and what it remembers, for the worker that goes on with it; pages do not load it.
    work: Mapped[dict[str, Any] | None] = mapped_column(Json, deferred=True)
    error: Mapped[str | None] = mapped_column(Text)
    error_fix: Mapped[str | None] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            CheckConstraint(
                "kind in ('choices', 'sample', 'dry_run', 'lookup', 'payload', 'fields', 'diagnosis')", name="kind"
            ),
            CheckConstraint("state in ('waiting', 'ready', 'failed')", name="state"),
            Index(None, "expires_at"),
        )
