"""The staging table of RQ: work is a row here, Redis only rings the bell (architecture section 3)."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Index, Integer, PrimaryKeyConstraint, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import IdModel, TenantModel, Timestamp, db, moment

LANES = ("fast", "send", "sync")


class Task(TenantModel):
    """A row of work. `key` makes it unique among live ones of its kind; `ref` names what it works on."""

    __tablename__ = "tasks"

    lane: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    ref: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    host: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="ready", server_default="ready")
    due_at: Mapped[datetime] = moment()
    lease_token: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    lease_until: Mapped[datetime | None] = mapped_column(Timestamp)
    leased_by: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    max_attempts: Mapped[int] = mapped_column(Integer, default=5, server_default="5")
    last_error: Mapped[str | None] = mapped_column(Text)
    rerun: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index(
                "uq_tasks_live", "tenant_id", "kind", "key",
                unique=True, postgresql_where=text("state in ('ready', 'leased')"),
            ),
            Index("ix_tasks_ready", "lane", "tenant_id", "due_at", postgresql_where=text("state = 'ready'")),
            Index("ix_tasks_leased", "lane", "tenant_id", postgresql_where=text("state = 'leased'")),
            Index("ix_tasks_finished", "finished_at", postgresql_where=text("finished_at is not null")),
            CheckConstraint("state in ('ready', 'leased', 'done', 'parked', 'dead', 'cancelled')", name="state"),
            CheckConstraint("lane in ('fast', 'send', 'sync')", name="lane"),
        )  # fmt: skip


class TaskGate(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """A tenant's turn in a lane: who was served last goes last."""

    __tablename__ = "task_gates"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "lane"),)

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    lane: Mapped[str] = mapped_column(Text)
    served_at: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Heartbeat(IdModel):
    """A process that lives: the dispatcher and each worker say so; health reads it."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(Text, unique=True)
    kind: Mapped[str] = mapped_column(Text)
    lane: Mapped[str | None] = mapped_column(Text)
    seen_at: Mapped[datetime] = moment()
