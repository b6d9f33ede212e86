"""Invitations: a link that lets one e-mail address join a tenant once."""

import uuid
from datetime import timedelta

from sqlalchemy import text

from app.clock import now
from app.crypto import token, token_hash
from app.db import db
from app.errors import InvalidError, NotFoundError
from app.models.accounts import Invitation, User
from app.services import accounts, audit, mails
from app.tenancy import scoped

_LIFE = timedelta(days=7)


def invite(tenant_id: uuid.UUID, tenant_name: str, email: str, role: str, *, user: User) -> str:
    """Invite an address, send the link and return its token; it is shown once."""
    value = token()
    db.session.add(
        Invitation(
            tenant_id=tenant_id, email=email.strip().lower(), role=role, token_hash=token_hash(value),
            invited_by=user.id, expires_at=now() + _LIFE,
        )
    )  # fmt: skip
    mails.send(
        tenant_id, email, f"{user.name} invites you to {tenant_name}", "invitation", inviter=user.name,
        tenant_name=tenant_name, path=f"/invitations/{value}",
    )  # fmt: skip
    audit.write(tenant_id, "member.invited", "invitation", email.strip().lower(), role=role)
    return value


def list_open(tenant_id: uuid.UUID) -> list[Invitation]:
    """Return the newest hundred invitations that can still be accepted."""
    query = scoped(Invitation, tenant_id).where(Invitation.accepted_at.is_(None), Invitation.expires_at > now())
    return list(db.session.scalars(query.order_by(Invitation.created_at.desc()).limit(100)))


def find(value: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return (tenant id, invitation id) of a link's token, before a tenant is bound."""
    row = db.session.execute(
        text("SELECT tenant_id, invitation_id FROM lookup_invitation(:hash)"), {"hash": token_hash(value)}
    ).first()
    return (row[0], row[1]) if row else None


def get_open(tenant_id: uuid.UUID, invitation_id: uuid.UUID) -> Invitation:
    """Return an invitation that can be accepted; InvalidError when it has expired or been used."""
    found = db.session.scalar(scoped(Invitation, tenant_id).where(Invitation.id == invitation_id).with_for_update())
    if found is None or found.accepted_at is not None or found.expires_at < now():
        raise InvalidError("This invitation has expired or has been used. Ask for a new one.", code="link_used")
    return found


def accept(tenant_id: uuid.UUID, invitation_id: uuid.UUID, user: User) -> None:
    """Let the invited person in; the address must be theirs."""
    found = get_open(tenant_id, invitation_id)
    if found.email != user.email.lower():
        raise InvalidError(f"This invitation is for {found.email}. Sign in with that address.", code="other_address")
    found.accepted_at = now()
    accounts.add_member(tenant_id, user.id, found.role)


def revoke(tenant_id: uuid.UUID, invitation_id: uuid.UUID) -> None:
    """Take an invitation back."""
    found = db.session.scalar(scoped(Invitation, tenant_id).where(Invitation.id == invitation_id))
    if found is None:
        raise NotFoundError("There is no such invitation.")
    db.session.delete(found)
    audit.write(tenant_id, "member.invitation_revoked", "invitation", found.email)
