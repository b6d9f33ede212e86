"""E-mail waiting to be sent; the body is sealed because it may hold a one-time link."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import TenantModel, Timestamp


class Mail(TenantModel):
    """One message to one address. `state`: waiting, sent, failed."""

    __tablename__ = "mails"

    recipient: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    template: Mapped[str] = mapped_column(Text)
    body_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    sent_at: Mapped[datetime | None] = mapped_column(Timestamp)
    error: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (CheckConstraint("state in ('waiting', 'sent', 'failed')", name="state"),)
