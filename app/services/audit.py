"""Audit: a row for each privileged act, written in the act's own transaction; nobody may change it."""

import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_

from app.db import db
from app.models.audit import AuditEntry
from app.tenancy import scoped


@dataclass(frozen=True)
class Actor:
    """Who acts in this request or job."""

    id: uuid.UUID | None
    name: str
    ip: str = ""
    request_id: str = ""


SYSTEM = Actor(None, "Patchbay")
current_actor: ContextVar[Actor] = ContextVar("patchbay_actor", default=SYSTEM)


def write(
    tenant_id: uuid.UUID, action: str, subject_type: str, subject_id: str, subject: str = "",
    actor: Actor | None = None, installation_id: uuid.UUID | None = None, **details: Any,
) -> None:  # fmt: skip
    """Write an entry; `action` is `noun.verb`. `details` must not hold secrets. Without `actor` it is the current one.

    `installation_id` is the installation whose activity it belongs to, where the subject is not the installation itself.
    """
    actor = actor or current_actor.get()
    if subject_type == "installation":
        installation_id = uuid.UUID(subject_id)
    db.session.add(
        AuditEntry(
            tenant_id=tenant_id, actor_id=actor.id, actor=actor.name, action=action, subject_type=subject_type,
            subject_id=subject_id, subject=subject, installation_id=installation_id, details=details, ip=actor.ip, request_id=actor.request_id,
        )
    )  # fmt: skip


def list_entries(
    tenant_id: uuid.UUID,
    *,
    actions: Sequence[str] = (),
    actor: str = "",
    before: uuid.UUID | None = None,
    limit: int = 50,
) -> list[AuditEntry]:
    """Return entries, newest first: those whose action begins with one of `actions`, all without any.

    `before` is the id the last page ended with.
    """
    query = scoped(AuditEntry, tenant_id)
    if actions:
        query = query.where(or_(*(AuditEntry.action.startswith(action, autoescape=True) for action in actions)))
    if actor:
        query = query.where(AuditEntry.actor.icontains(actor, autoescape=True))
    if before:
        query = query.where(AuditEntry.id < before)
    return list(db.session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))
