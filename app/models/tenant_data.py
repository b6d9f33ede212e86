"""What a tenant takes along and what is left of one that has gone: exports of all its data, and erasures."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, PrimaryKeyConstraint, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, db, tenant_fk


class TenantExport(TenantModel):
    """All of a tenant's data in one file, which a worker writes part by part. It goes at `expires_at`."""

    __tablename__ = "tenant_exports"

    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    requested_name: Mapped[str] = mapped_column(Text)
    # Which table is written, behind which row, and the archive so far.
    progress: Mapped[dict[str, Any]] = mapped_column(Json)
    done: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    total: Mapped[int | None] = mapped_column(Integer)
    parts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
    ready_at: Mapped[datetime | None] = mapped_column(Timestamp)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            # Never two that are being made.
            Index(
                "uq_tenant_exports_live", "tenant_id", unique=True, postgresql_where=text("state in ('waiting', 'working')")
            ),
            CheckConstraint("state in ('waiting', 'working', 'ready', 'failed')", name="state"),
        )  # fmt: skip


class TenantExportPart(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """The next bytes of the file."""

    __tablename__ = "tenant_export_parts"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "export_id", "number"),
        tenant_fk("export_id", "tenant_exports"),
    )

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    export_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class Erasure(TenantModel):
    """The end of a tenant, `subject_id`. The row is the platform's: it outlives the tenant, and holds no customer data.

    `state`: waiting (it can still be kept), working, done, undone. `report` is the very text that is signed.
    """

    __tablename__ = "erasures"

    subject_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    subject_name: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    requested_name: Mapped[str] = mapped_column(Text)
    # Where the report is sent; forgotten once it is.
    requested_email: Mapped[str | None] = mapped_column(Text)
    erase_at: Mapped[datetime] = mapped_column(Timestamp)
    undone_at: Mapped[datetime | None] = mapped_column(Timestamp)
    undone_name: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # Ids of the people who belonged to it, until it is decided which accounts go with it.
    people: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    counts: Mapped[dict[str, int]] = mapped_column(Json, default=dict, server_default="{}")
    revocations: Mapped[dict[str, int]] = mapped_column(Json, default=dict, server_default="{}")
    report: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index(
                "uq_erasures_live", "tenant_id", "subject_id", unique=True,
                postgresql_where=text("state in ('waiting', 'working')"),
            ),
            CheckConstraint("state in ('waiting', 'working', 'done', 'undone')", name="state"),
        )  # fmt: skip
