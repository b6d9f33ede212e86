"""Asking for integrations: members ask, the tenant's admins decide; what is missing the host's operators read."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select, text
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import new_id
from app.models.accounts import Membership, User
from app.models.integration_requests import IntegrationRequest
from app.services import audit, installations, mails
from app.tenancy import scoped

SHOWN = 200


@dataclass(frozen=True)
class Missing:
    """An integration that is missing: how many tenants and people ask for it, since when, and what the last said."""

    name: str
    tenants: int
    people: int
    last_at: datetime
    reason: str


def ask(tenant_id: uuid.UUID, user: User, name: str, *, connector: str | None = None, reason: str = "") -> bool:
    """Ask for an integration; with `connector` the tenant's admins hear of it. False when one has asked already."""
    values = {"tenant_id": tenant_id, "id": new_id(), "connector": connector, "name": name, "reason": reason,
              "user_id": user.id, "user_name": user.name}  # fmt: skip
    made = db.session.execute(
        insert(IntegrationRequest).values(values).on_conflict_do_nothing().returning(IntegrationRequest.id)
    ).first()
    if made is None:
        return False
    audit.write(tenant_id, "integration.requested", "integration", connector or "", name)
    if connector:
        for admin in _admins(tenant_id):
            mails.send(
                tenant_id, admin.email, f"{user.name} asks for {name}", "request", asked_by=user.name, name=name,
                reason=reason,
            )  # fmt: skip
    return True


def _admins(tenant_id: uuid.UUID) -> list[User]:
    query = select(User).join(Membership, Membership.user_id == User.id)
    return list(
        db.session.scalars(query.where(Membership.tenant_id == tenant_id, Membership.role.in_(("admin", "owner"))))
    )


def list_requests(tenant_id: uuid.UUID, *, user_id: uuid.UUID | None = None) -> list[IntegrationRequest]:
    """Return the newest requests of a tenant, open ones first; with `user_id` those of one person."""
    query = scoped(IntegrationRequest, tenant_id)
    if user_id:
        query = query.where(IntegrationRequest.user_id == user_id)
    order = ((IntegrationRequest.state != "open").asc(), IntegrationRequest.id.desc())
    return list(db.session.scalars(query.order_by(*order).limit(SHOWN)))


def count_of_open(tenant_id: uuid.UUID) -> Select[int]:
    """Return the query of how many requests the tenant's admins have to decide."""
    return select(func.count()).where(
        # Literal, as the index has it.
        IntegrationRequest.tenant_id == tenant_id, text("integration_requests.state = 'open'"),
        IntegrationRequest.connector.is_not(None),
    )  # fmt: skip


def approve(tenant_id: uuid.UUID, request_id: uuid.UUID, *, by: User) -> uuid.UUID:
    """Begin the installation that was asked for; return its id. ConflictError when it has been decided."""
    found = _get_open(tenant_id, request_id)
    if found.connector is None:
        raise ConflictError("It is not in the catalog yet: the operators of this marketplace read such requests.")
    made = installations.create_installation(tenant_id, found.connector, user_id=by.id)
    _decide(found, "approved", by.name, "")
    return made.id


def decline(tenant_id: uuid.UUID, request_id: uuid.UUID, *, by: User, note: str) -> None:
    """Say no, and why. ConflictError when it has been decided."""
    _decide(_get_open(tenant_id, request_id), "declined", by.name, note)


def withdraw(tenant_id: uuid.UUID, request_id: uuid.UUID, *, by: User) -> None:
    """Take an own request back; NotFoundError when it is somebody else's."""
    found = _get_open(tenant_id, request_id)
    if found.user_id != by.id:
        raise NotFoundError("There is no such request of yours.")
    found.state, found.decided_by, found.decided_at = "withdrawn", by.name, now()


def _get_open(tenant_id: uuid.UUID, request_id: uuid.UUID) -> IntegrationRequest:
    query = scoped(IntegrationRequest, tenant_id).where(IntegrationRequest.id == request_id).with_for_update()
    found = db.session.scalar(query)
    if found is None:
        raise NotFoundError("There is no such request.")
    if found.state != "open":
        raise ConflictError(f"{found.decided_by} has decided this already.")
    return found


def _decide(found: IntegrationRequest, state: str, by: str, note: str) -> None:
    found.state, found.decided_by, found.decided_at, found.note = state, by, now(), note
    audit.write(found.tenant_id, f"integration.{state}", "integration", found.connector or "", found.name)
    asker = db.session.get(User, found.user_id)
    if asker is not None:
        mails.send(
            found.tenant_id, asker.email, f"{found.name}: {'it is being set up' if state == 'approved' else 'not now'}",
            "request_decided", name=found.name, state=state, decided_by=by, note=note,
        )  # fmt: skip


def list_missing() -> list[Missing]:
    """Return what is missing over all tenants, the most asked for first. For the host's staff."""
    named = func.lower(IntegrationRequest.name)
    rows = db.session.execute(
        select(
            func.max(IntegrationRequest.name), func.count(IntegrationRequest.tenant_id.distinct()), func.count(),
            func.max(IntegrationRequest.created_at),
            func.coalesce(func.max(IntegrationRequest.reason).filter(IntegrationRequest.reason != ""), ""),
        )
        .where(IntegrationRequest.connector.is_(None), IntegrationRequest.state == "open")
        .group_by(named).order_by(func.count(IntegrationRequest.tenant_id.distinct()).desc(), named).limit(SHOWN)
    )  # fmt: skip
    return [Missing(*row) for row in rows]
