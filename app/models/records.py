"""The host's records, the keys they are found by, their links to external records, and the journal of changes."""

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
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, db, moment

FAN_OUT = "coalesce(nullif(current_setting('patchbay.fan_out', true), ''), fan_out_now())"


class Record(TenantModel):
    """One real thing, however many installations link to it."""

    __tablename__ = "records"

    object_type: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    updated_at: Mapped[datetime] = moment()
    deleted_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # The host's own id of it, when the host has given one over the API.
    external_id: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index(
                "uq_records_external_id", "tenant_id", "object_type", "external_id", unique=True,
                postgresql_where=text("external_id is not null"),
            ),
            Index(
                "ix_records_browse", "tenant_id", "object_type", "updated_at", "id",
                postgresql_where=text("deleted_at is null"),
            ),
            # Deleted ones have no keys any more: they are looked through, and are few.
            Index(
                "ix_records_deleted", "tenant_id", "object_type", "updated_at", "id",
                postgresql_where=text("deleted_at is not null"),
            ),
        )  # fmt: skip


class RecordKey(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """A value a record is found by: match keys and unique hints, normalised.

    Written only with its record, in one transaction: a foreign key would check each row again (measured, half a page).
    """

    __tablename__ = "record_keys"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "object_type", "key", "value", "record_id"),
        Index(None, "tenant_id", "record_id"),
    )

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    object_type: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)
    record_id: Mapped[uuid.UUID] = mapped_column(Uuid)


class Link(TenantModel):
    """A record joined to an external id, with the values both sides last agreed on. No foreign keys: see RecordKey."""

    __tablename__ = "links"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text)
    record_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    base: Mapped[dict[str, Any]] = mapped_column(Json)
    external_version: Mapped[str | None] = mapped_column(Text)
    source_hash: Mapped[bytes] = mapped_column(LargeBinary)
    mapping_version: Mapped[int] = mapped_column(Integer)
    # A record that two complete passes in a row do not show is gone.
    missing_passes: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # When our last write to it was answered, by PostgreSQL's clock: what was read before that says nothing.
    written_at: Mapped[datetime | None] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = moment()
    deleted_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            # With what is ended in it, links are counted from the index alone.
            Index(
                "uq_links_place", "tenant_id", "installation_id", "stream", "external_id",
                unique=True, postgresql_include=["deleted_at"],
            ),
            Index(None, "tenant_id", "record_id"),
        )  # fmt: skip


class Change(TenantModel):
    """One changed record: journal, trace, undo, change stream and outbox of record events."""

    __tablename__ = "changes"

    record_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    installation_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    stream: Mapped[str | None] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text)
    object_type: Mapped[str] = mapped_column(Text)
    page: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    operation: Mapped[str] = mapped_column(Text)
    # Changed fields only, as they were and as they became.
    before: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    after: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    writer: Mapped[str] = mapped_column(Text)
    mapping_version: Mapped[int | None] = mapped_column(Integer)
    # `new` where somebody listens. A page finds that out once for all its rows (page_writes.open_page).
    fan_out: Mapped[str] = mapped_column(Text, server_default=text(FAN_OUT))
    # The transaction that wrote it: what has begun before all that still run can be read without missing a late one.
    xid: Mapped[int] = mapped_column(BigInteger, server_default=text("((pg_current_xact_id())::text)::bigint"))

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index("ix_changes_new", "tenant_id", "id", postgresql_where=text("fan_out = 'new'")),
            # As rows are only added, each range of pages has its own few transactions: no entry a row to write.
            Index(
                "ix_changes_xid",
                "xid",
                postgresql_using="brin",
                postgresql_with={"pages_per_range": 16, "autosummarize": True},
            ),
            Index("ix_changes_record", "tenant_id", "record_id", "id"),
            Index("ix_changes_run", "tenant_id", "run_id", "id"),
            CheckConstraint("operation in ('created', 'updated', 'linked', 'deleted', 'restored')", name="operation"),
            CheckConstraint("fan_out in ('new', 'done')", name="fan_out"),
        )
