"""Tenants, users, memberships, staff roles, sessions, invitations and one-time tokens."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import IdModel, TenantModel, Timestamp, moment

ROLES = ("owner", "admin", "member")
STAFF_ROLES = ("support", "reviewer", "operator")


class Tenant(IdModel):
    """A customer of the host. Guarded by row level security on its own id."""

    __tablename__ = "tenants"

    name: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str | None] = mapped_column(Text, unique=True)
    zone: Mapped[str] = mapped_column(Text, default="UTC", server_default="UTC")
    # When everything of it is erased, and who has asked for that: services/erasures.py.
    erase_at: Mapped[datetime | None] = mapped_column(Timestamp)
    erase_by: Mapped[str | None] = mapped_column(Text)


class User(IdModel):
    """A person who signs in; may belong to several tenants."""

    __tablename__ = "users"
    __table_args__ = (Index("uq_users_email", text("lower(email)"), unique=True),)

    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str] = mapped_column(Text)
    email_verified_at: Mapped[datetime | None] = mapped_column(Timestamp)
    zone: Mapped[str | None] = mapped_column(Text)
    theme: Mapped[str] = mapped_column(Text, default="system", server_default="system")


class StaffRole(IdModel):
    """A role of the host's own staff, beside any membership."""

    __tablename__ = "staff_roles"
    __table_args__ = (
        UniqueConstraint("user_id", "role"),
        CheckConstraint("role in ('support', 'reviewer', 'operator')", name="role"),
    )

    user_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(Text)


class Membership(TenantModel):
    """A user's place in a tenant."""

    __tablename__ = "memberships"

    user_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    role: Mapped[str] = mapped_column(Text)
    # What they are told by e-mail; without a choice as their role has it: sync/notices.py.
    notify: Mapped[str | None] = mapped_column(Text)
    # Since when they no longer want to see the first steps on their home page.
    guide_hidden_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            CheckConstraint("notify in ('problems', 'action', 'none')", name="notify"),
            UniqueConstraint("tenant_id", "user_id"),
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
            CheckConstraint("role in ('owner', 'admin', 'member')", name="role"),
            Index(None, "user_id"),
        )


class Invitation(TenantModel):
    """A link that lets one e-mail address join a tenant once."""

    __tablename__ = "invitations"

    email: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    invited_by: Mapped[uuid.UUID] = mapped_column(Uuid)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
    accepted_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE"),
            CheckConstraint("role in ('owner', 'admin', 'member')", name="role"),
        )


class AuthSession(IdModel):
    """A signed-in browser. `id` is random; the cookie's SHA-256 finds it. Guarded by its user."""

    __tablename__ = "sessions"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # Named so because the row is the user's: it outlives a switch of tenant.
    active_tenant: Mapped[uuid.UUID | None] = mapped_column(Uuid, ForeignKey("tenants.id", ondelete="SET NULL"))
    seen_at: Mapped[datetime] = moment()
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
    ip: Mapped[str] = mapped_column(Text, default="", server_default="")
    user_agent: Mapped[str] = mapped_column(Text, default="", server_default="")


class UserToken(IdModel):
    """A one-time link for a user: verify an e-mail address or set a new password."""

    __tablename__ = "user_tokens"
    __table_args__ = (CheckConstraint("purpose in ('verify_email', 'reset_password')", name="purpose"),)

    user_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(Text)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
