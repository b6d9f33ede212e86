"""Where a tenant wants to be told of its installations beside e-mail, and what was sent there."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Integer, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, moment, tenant_fk


class Destination(TenantModel):
    """An address that messages are posted to, sealed as a credential is: whoever knows it may post there.

    `kind`: webhook (signed) or slack (also what speaks its form). `state`: active, or disabled by a person, because it
    is gone (410), or because it has been failing for days.
    """

    __tablename__ = "destinations"

    kind: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    # Scheme and host, for people.
    host: Mapped[str] = mapped_column(Text)
    # The web process may not read it back: pages do not load it.
    url_sealed: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    # problems or action, as people choose for themselves: sync/notices.py.
    preference: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="active", server_default="active")
    disabled_code: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    failing_since: Mapped[datetime | None] = mapped_column(Timestamp)
    not_before: Mapped[datetime | None] = mapped_column(Timestamp)
    delivered_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    updated_at: Mapped[datetime] = moment()

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            CheckConstraint("kind in ('webhook', 'slack')", name="kind"),
            CheckConstraint("preference in ('problems', 'action')", name="preference"),
            CheckConstraint("state in ('active', 'disabled')", name="state"),
            CheckConstraint("disabled_code in ('person', 'gone', 'failing')", name="disabled_code"),
        )


class Notice(TenantModel):
    """One message to one destination. `state`: waiting, delivered, failed (all tries used, or it was switched off)."""

    __tablename__ = "notices"

    destination_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    subject: Mapped[str] = mapped_column(Text)
    # {bad: [..], over: [..]} as services/notices.py tells it; empty for a test.
    content: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    status: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("destination_id", "destinations"),
            Index("ix_notices_log", "tenant_id", "destination_id", "id"),
            Index(
                "ix_notices_waiting", "tenant_id", "destination_id", "id", postgresql_where=text("state = 'waiting'")
            ),
            CheckConstraint("state in ('waiting', 'delivered', 'failed')", name="state"),
        )
