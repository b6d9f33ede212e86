"""Signed-in browsers: server-side, found by the hash of their cookie, ended by time or by hand."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from flask import current_app
from sqlalchemy import ARRAY, ColumnElement, Text, delete, func, select, text, update

from app.clock import now
from app.config import Settings
from app.crypto import token, token_hash
from app.db import db, write
from app.ids import new_id
from app.models.accounts import AuthSession, Membership, StaffRole, Tenant, User
from app.services import audit
from app.tenancy import PLATFORM_TENANT

_TOUCH = timedelta(minutes=1)


@dataclass(frozen=True)
class Found:
    """A live session. `stale`: its last use should be written."""

    session_id: uuid.UUID
    user_id: uuid.UUID
    tenant_id: uuid.UUID | None
    stale: bool = False


def start_session(
    user_id: uuid.UUID, tenant_id: uuid.UUID | None, settings: Settings, *, ip: str, user_agent: str
) -> str:
    """Start a session and return the cookie's value; the user must be bound. Their ended ones are deleted."""
    value = token()
    db.session.execute(delete(AuthSession).where(AuthSession.user_id == user_id, ~_is_live(settings)))
    db.session.add(
        AuthSession(
            id=new_id(), token_hash=token_hash(value), user_id=user_id, active_tenant=tenant_id, ip=ip,
            user_agent=user_agent[:200], expires_at=now() + timedelta(days=settings.session_days),
        )
    )  # fmt: skip
    return value


def _is_live(settings: Settings) -> ColumnElement[bool]:
    idle = now() - timedelta(minutes=settings.session_idle_minutes)
    return (AuthSession.expires_at >= now()) & (AuthSession.seen_at >= idle)


def find_session(cookie: str, settings: Settings) -> Found | None:
    """Return the live session of a cookie, None when it is unknown or has ended."""
    row = db.session.execute(
        text("SELECT session_id, user_id, tenant_id, seen_at, expires_at FROM lookup_session(:hash)"),
        {"hash": token_hash(cookie)},
    ).first()
    if row is None or row.expires_at < now() or row.seen_at < now() - timedelta(minutes=settings.session_idle_minutes):
        return None
    return Found(row.session_id, row.user_id, row.tenant_id, row.seen_at < now() - _TOUCH)


def load(found: Found) -> tuple[User, Tenant | None, str | None, frozenset[str]] | None:
    """Return (user, tenant, role, staff roles) of a session in one query; tenant and user must be bound."""
    staff = select(StaffRole.role).where(StaffRole.user_id == found.user_id).scalar_subquery()
    row = db.session.execute(
        select(User, Tenant, Membership.role, func.array(staff, type_=ARRAY(Text)))
        .outerjoin(Membership, (Membership.user_id == User.id) & (Membership.tenant_id == found.tenant_id))
        .outerjoin(Tenant, Tenant.id == Membership.tenant_id)
        .where(User.id == found.user_id)
    ).first()
    if row is None:
        return None
    return row[0], row[1], row[2], frozenset(row[3])


def touch(session_id: uuid.UUID) -> None:
    """Write that the session is in use."""
    db.session.execute(update(AuthSession).where(AuthSession.id == session_id).values(seen_at=now()))


def switch_tenant(session_id: uuid.UUID, tenant_id: uuid.UUID) -> None:
    """Make another of the user's tenants the session's."""
    db.session.execute(update(AuthSession).where(AuthSession.id == session_id).values(active_tenant=tenant_id))


def end_session(session_id: uuid.UUID) -> None:
    """End one session of the bound user, by hand; the platform's tenant must be bound for the audit."""
    if forget_session(session_id):
        audit.write(PLATFORM_TENANT, "session.ended", "session", str(session_id))


def end_others(user_id: uuid.UUID, keep: uuid.UUID) -> int:
    """End all sessions of the bound user but one, by hand; return how many. The platform's tenant must be bound."""
    count = forget_all(user_id, keep=keep)
    if count:
        audit.write(PLATFORM_TENANT, "session.others_ended", "user", str(user_id), sessions=count)
    return count


def end_all(user_id: uuid.UUID) -> None:
    """End all sessions of the bound user, by hand; the platform's tenant must be bound for the audit."""
    count = forget_all(user_id)
    if count:
        audit.write(PLATFORM_TENANT, "session.all_ended", "user", str(user_id), sessions=count)


def forget_session(session_id: uuid.UUID) -> bool:
    """Delete a session of the bound user as part of another act; False when there is none."""
    return bool(write(delete(AuthSession).where(AuthSession.id == session_id)))


def forget_all(user_id: uuid.UUID, *, keep: uuid.UUID | None = None) -> int:
    """Delete all sessions of the bound user but one if named, as part of another act; return how many."""
    query = delete(AuthSession).where(AuthSession.user_id == user_id)
    return write(query.where(AuthSession.id != keep) if keep else query)


def list_sessions(user_id: uuid.UUID) -> list[AuthSession]:
    """Return the live sessions of the bound user, last used first."""
    settings: Settings = current_app.extensions["settings"]
    query = select(AuthSession).where(AuthSession.user_id == user_id, _is_live(settings))
    return list(db.session.scalars(query.order_by(AuthSession.seen_at.desc())))
