"""What members ask for: an integration of the catalog, or one that is missing."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import TenantModel, Timestamp


class IntegrationRequest(TenantModel):
    """Without `connector` it is missing, and the host's operators read it; with one the tenant's admins decide."""

    __tablename__ = "integration_requests"

    connector: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text, default="", server_default="")
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    user_name: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="open", server_default="open")
    decided_by: Mapped[str | None] = mapped_column(Text)
    decided_at: Mapped[datetime | None] = mapped_column(Timestamp)
    note: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            CheckConstraint("state in ('open', 'approved', 'declined', 'withdrawn')", name="state"),
            Index(
                "uq_integration_requests_open", "tenant_id", "user_id", text("lower(name)"), unique=True,
                postgresql_where=text("state = 'open'"),
            ),
        )  # fmt: skip
