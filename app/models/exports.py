"""Exports: everything of an installation or of a tenant in one file, which workers write part by part."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, PrimaryKeyConstraint, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, db, tenant_fk


class Export(TenantModel):
    """`state`: waiting, working, ready, failed. It goes at `expires_at`, with its parts.

    Without an installation it holds everything of the tenant.
    """

    __tablename__ = "exports"

    installation_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    format: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    requested_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    requested_name: Mapped[str] = mapped_column(Text)
    # Which file is written, behind which row, and the archive so far, for the worker that goes on with it.
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
            tenant_fk("installation_id", "installations"),
            # Never two that are being made.
            Index(
                "uq_exports_live", "tenant_id", "installation_id", unique=True, postgresql_nulls_not_distinct=True,
                postgresql_where=text("state in ('waiting', 'working')"),
            ),
            Index(None, "tenant_id", "installation_id", "id"),
            CheckConstraint("state in ('waiting', 'working', 'ready', 'failed')", name="state"),
            CheckConstraint("format in ('csv', 'json', 'jsonl')", name="format"),
            CheckConstraint("(installation_id IS NULL) = (format = 'jsonl')", name="whole"),
        )  # fmt: skip


class ExportPart(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """The next bytes of an export's file."""

    __tablename__ = "export_parts"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "export_id", "number"), tenant_fk("export_id", "exports"))

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    export_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(Integer)
    content: Mapped[bytes] = mapped_column(LargeBinary)
