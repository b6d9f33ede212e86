"""Keys of the API, and the answers kept for a request that is sent again."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Integer, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import TenantModel, Timestamp


class ApiKey(TenantModel):
    """A key of the API, known by its SHA-256. Keys of the host belong to the platform's tenant."""

    __tablename__ = "api_keys"

    kind: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    # How it begins, so that people can tell theirs apart.
    start: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    profile: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[uuid.UUID] = mapped_column(Uuid)
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_used_at: Mapped[datetime | None] = mapped_column(Timestamp)
    replaced_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    revoked_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            CheckConstraint("kind in ('tenant', 'host')", name="kind"),
        )


class IdempotencyKey(TenantModel):
    """A POST with an Idempotency-Key and its answer, sealed with the caller's key: the table alone tells nothing."""

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    key: Mapped[str] = mapped_column(Text)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            UniqueConstraint("tenant_id", "api_key_id", "key"),
        )
