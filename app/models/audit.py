"""Who did what: one row per privileged act, written in the act's own transaction; nobody may change it."""

import uuid
from typing import Any

from sqlalchemy import Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel


class AuditEntry(TenantModel):
    """`action` is `noun.verb`, `subject` the thing acted upon, `details` never holds a secret."""

    __tablename__ = "audit"

    actor_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(Text)
    subject_type: Mapped[str] = mapped_column(Text)
    subject_id: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text, default="", server_default="")
    # The installation it was done to, or to what belongs to it: a run, a problem, a record that failed.
    installation_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    details: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    ip: Mapped[str] = mapped_column(Text, default="", server_default="")
    request_id: Mapped[str] = mapped_column(Text, default="", server_default="")

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index(None, "tenant_id", "created_at"),
            Index(
                "ix_audit_installation", "tenant_id", "installation_id", "created_at", "id",
                postgresql_where=text("installation_id is not null"),
            ),
        )  # fmt: skip
