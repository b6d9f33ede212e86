"""A tenant lets the host's support read it for some hours; each reading is written into the tenant's audit log first."""

import uuid
from datetime import timedelta

from sqlalchemy import ColumnElement, select, update

from app.clock import now
from app.db import db, write
from app.errors import InvalidError, NotFoundError
from app.models.support_grants import SupportGrant
from app.services import audit
from app.tenancy import scoped

HOURS = (1, 4, 24, 72)


def _live() -> ColumnElement[bool]:
    return SupportGrant.ended_at.is_(None) & (SupportGrant.expires_at > now())


def grant(tenant_id: uuid.UUID, user_id: uuid.UUID, *, hours: int, reason: str) -> SupportGrant:
    """Let support read the tenant from now on; a grant that is still live is replaced."""
    if hours not in HOURS:
        raise InvalidError("Support can be let in for 1, 4, 24 or 72 hours.", {"hours": "Choose one of these."})
    _end(tenant_id)
    start = now()
    made = SupportGrant(
        tenant_id=tenant_id, granted_by=user_id, reason=reason.strip()[:200], created_at=start,
        expires_at=start + timedelta(hours=hours),
    )  # fmt: skip
    db.session.add(made)
    db.session.flush()  # Its id goes into the audit.
    audit.write(tenant_id, "support.granted", "support_grant", str(made.id), hours=hours, reason=made.reason)
    return made


def end(tenant_id: uuid.UUID) -> None:
    """Let support in no longer."""
    for grant_id in _end(tenant_id):
        audit.write(tenant_id, "support.ended", "support_grant", str(grant_id))


def _end(tenant_id: uuid.UUID) -> list[uuid.UUID]:
    live = list(db.session.scalars(select(SupportGrant.id).where(SupportGrant.tenant_id == tenant_id, _live())))
    ended = update(SupportGrant).where(SupportGrant.tenant_id == tenant_id, SupportGrant.id.in_(live))
    write(ended.values(ended_at=now()))
    return live


def find_live(tenant_id: uuid.UUID) -> SupportGrant | None:
    """Return the grant that lets support in, None when there is none."""
    return db.session.scalar(
        scoped(SupportGrant, tenant_id).where(_live()).order_by(SupportGrant.expires_at.desc()).limit(1)
    )


def list_live() -> list[SupportGrant]:
    """Return the live grants of all tenants, for bound staff."""
    return list(db.session.scalars(select(SupportGrant).where(_live()).order_by(SupportGrant.expires_at).limit(200)))


def require_live(tenant_id: uuid.UUID) -> SupportGrant:
    """Return the live grant; NotFoundError when the tenant has not let support in, or there is no such tenant."""
    found = find_live(tenant_id)
    if found is None:
        raise NotFoundError("This customer has not let support in, or no longer.")
    return found


def begin_reading(tenant_id: uuid.UUID, what: str) -> None:
    """Check the grant and write into the tenant's audit what is about to be read; committed before the reading."""
    found = require_live(tenant_id)
    audit.write(tenant_id, "support.read", "support_grant", str(found.id), what, reason=found.reason)
