"""Tenants as the host makes them over the API, named by the host's own id."""

import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import available_timezones

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.crypto import token_hash
from app.db import db
from app.errors import ConflictError, InvalidError
from app.models.accounts import Tenant
from app.models.fleet import InstallationStatus
from app.services import api_keys, audit


def find(tenant_id: uuid.UUID) -> Tenant | None:
    """Return the bound tenant."""
    return db.session.scalar(select(Tenant).where(Tenant.id == tenant_id))


def search(asked: str, *, limit: int = 20) -> list[tuple[uuid.UUID, str]]:
    """Return (id, name) of tenants: by id, by the host's own id, or by a part of the name. For bound operators.

    By name those are found that have ever installed something: only their names may be read across tenants.
    """
    known = api_keys.find_tenant(asked)
    with suppress(ValueError):
        known = known or uuid.UUID(asked)
    if known is not None:
        return [(known, asked)]
    rows = db.session.execute(
        select(InstallationStatus.tenant_id, InstallationStatus.tenant_name)
        .where(InstallationStatus.tenant_name.icontains(asked, autoescape=True))
        .distinct()
        .order_by(InstallationStatus.tenant_name)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True)
class Customer:
    """A tenant as the host lists it."""

    id: uuid.UUID
    external_id: str | None
    name: str
    zone: str
    created_at: datetime


def list_customers(host_key: str, *, after: uuid.UUID | None = None, limit: int = 50) -> list[Customer]:
    """Return the tenants in the order of their ids, those after one; nobody without a live key of the host."""
    query = text("SELECT * FROM lookup_customers(:hash, :after, :limit)")
    rows = db.session.execute(query, {"hash": token_hash(host_key), "after": after, "limit": limit})
    return [Customer(*row) for row in rows]


def put(tenant_id: uuid.UUID, external_id: str, *, name: str, zone: str | None) -> tuple[Tenant, bool]:
    """Make the bound tenant or give it another name or zone; return it and whether it is new.

    InvalidError for a zone that does not exist, ConflictError when another request has just made it.
    """
    if zone is not None and zone not in available_timezones():
        raise InvalidError("There is no such time zone.", {"/zone": "Give a name like Europe/Berlin."})
    found = find(tenant_id)
    if found is None:
        made = Tenant(id=tenant_id, name=name, external_id=external_id, zone=zone or "UTC")
        db.session.add(made)
        try:
            db.session.flush()  # The unique index says whether somebody was faster.
        except IntegrityError:
            raise ConflictError("Another request has just made this tenant. Send it again.") from None
        audit.write(tenant_id, "tenant.created", "tenant", str(tenant_id), name)
        return made, True
    if (found.name, found.zone) != (name, zone or found.zone):
        found.name, found.zone = name, zone or found.zone
        audit.write(tenant_id, "tenant.changed", "tenant", str(tenant_id), name)
    return found, False
