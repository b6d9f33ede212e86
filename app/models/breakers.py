"""Circuit breakers: whether a vendor's host, or one account at it, answers. Shared by all workers, kept over restarts."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, Integer, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import IdModel, Timestamp, moment

KINDS = ("host", "connection")


class BreakerRow(IdModel):
    """What the calls to one vendor host, or over one connection, have come to. The columns are those of sync.breaker.

    A platform table: `key` is a host with its port or the id of a connection, and nothing here is a customer's.
    """

    __tablename__ = "breakers"
    __table_args__ = (
        UniqueConstraint("kind", "key"),
        CheckConstraint("kind in ('host', 'connection')", name="kind"),
        CheckConstraint("state in ('closed', 'open', 'half_open')", name="state"),
    )

    kind: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="closed", server_default="closed")
    failures_in_row: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    window_at: Mapped[datetime | None] = mapped_column(Timestamp)
    calls: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    failures: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    retries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    opens_in_row: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    open_until: Mapped[datetime | None] = mapped_column(Timestamp)
    probe: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    probe_until: Mapped[datetime | None] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = moment()
