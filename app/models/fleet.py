"""How each installation of the deployment is doing, for the host's support; holds no customer data."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.clock import now
from app.models.base import TenantModel, Timestamp, moment, tenant_fk


class InstallationStatus(TenantModel):
    """The status of an installation, whose id it has. Staff read those of all tenants, through a policy of their own.

    `signature` is that of the gravest open problem. Lateness comes with time, not with a change: here is from when on.
    """

    __tablename__ = "installation_status"

    tenant_name: Mapped[str] = mapped_column(Text)
    connector: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    signature: Mapped[str | None] = mapped_column(Text)
    last_success_at: Mapped[datetime | None] = mapped_column(Timestamp)
    late_at: Mapped[datetime | None] = mapped_column(Timestamp)
    changed_at: Mapped[datetime] = moment()
    # What people were told last, and when: services/notices.py.
    told_status: Mapped[str | None] = mapped_column(Text)
    told_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @property
    def word(self) -> str:
        """The status as it is now."""
        return "late" if self.status == "healthy" and self.late_at and self.late_at < now() else self.status

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("id", "installations"),
            CheckConstraint(
                "status in ('healthy', 'incomplete', 'failing', 'action_needed', 'paused', 'setting_up')", name="status"
            ),
            Index("ix_installation_status_id", "id"),
            Index("ix_installation_status_signature", "signature", "id"),
        )
