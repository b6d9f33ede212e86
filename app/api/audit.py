"""The audit log."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.api import gate
from app.api.operations import Noun
from app.api.paging import Page, PageQuery, cut, unpack
from app.services import audit

noun = Noun("audit", "Audit log", "Who did what: people, keys and the platform itself.")


class AuditEntry(BaseModel):
    """One privileged act."""

    id: uuid.UUID
    at: datetime
    actor: str
    actor_id: uuid.UUID | None
    action: str = Field(examples=["installation.paused"])
    subject_type: str
    subject_id: str
    subject: str
    details: dict[str, Any]
    request_id: str


class AuditEntries(Page[AuditEntry]):
    """Acts, newest first."""


class AuditQuery(PageQuery):
    """Which acts."""

    action: Annotated[str, Field(max_length=60, description="How the action begins.")] = ""
    actor: Annotated[str, Field(max_length=60, description="A part of the actor's name.")] = ""


@noun.get("/audit", scope="admin", query=AuditQuery, answer=AuditEntries)
def list_audit(query: AuditQuery) -> AuditEntries:
    """List what was done, newest first"""
    place = unpack(query.cursor, uuid.UUID)
    found = audit.list_entries(
        gate.caller().tenant_id, actions=[query.action] if query.action else (), actor=query.actor, before=place[0] if place else None,
        limit=query.limit + 1,
    )  # fmt: skip
    rows, onward = cut(found, query.limit, lambda row: (str(row.id),))
    return AuditEntries(
        data=[
            AuditEntry(
                id=row.id, at=row.created_at, actor=row.actor, actor_id=row.actor_id, action=row.action,
                subject_type=row.subject_type, subject_id=row.subject_id, subject=row.subject, details=row.details,
                request_id=row.request_id,
            )
            for row in rows
        ],
        next=onward,
    )  # fmt: skip
