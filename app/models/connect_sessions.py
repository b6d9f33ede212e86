"""Leave for somebody without an account to set up or look after integrations of one tenant, for a short while."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import TenantModel, Timestamp, tenant_fk


class ConnectSession(TenantModel):
    """A link that opens the wizard for its tenant. `session`: once, for a customer of the host; `link`: until it ends."""

    __tablename__ = "connect_sessions"

    kind: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    cookie_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    person: Mapped[str] = mapped_column(Text)
    # What it is limited to; both empty: everything of the tenant.
    connector: Mapped[str | None] = mapped_column(Text)
    installation_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    return_url: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[uuid.UUID] = mapped_column(Uuid)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
    opened_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # When the browser that opened it has to go.
    ends_at: Mapped[datetime | None] = mapped_column(Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            tenant_fk("installation_id", "installations"),
            Index("uq_connect_sessions_cookie_hash", "cookie_hash", unique=True),
            CheckConstraint("kind in ('session', 'link')", name="kind"),
        )
