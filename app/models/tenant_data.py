"""What is left of a tenant that has gone."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp


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
