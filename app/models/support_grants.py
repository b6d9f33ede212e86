"""A tenant's leave for the host's support to read it for a while."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import TenantModel, Timestamp


class SupportGrant(TenantModel):
    """Live from when it is given until it expires or somebody ends it."""

    __tablename__ = "support_grants"

    granted_by: Mapped[uuid.UUID] = mapped_column(Uuid)
    reason: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            CheckConstraint("expires_at <= created_at + interval '72 hours'", name="hours"),
            Index("ix_support_grants_expires", "tenant_id", "expires_at"),
        )
