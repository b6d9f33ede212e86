"""Tenants as the host makes them over the API, named by the host's own id."""

import uuid
from zoneinfo import available_timezones

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.db import db
from app.errors import ConflictError, InvalidError
from app.models.accounts import Tenant
from app.services import audit


def find(tenant_id: uuid.UUID) -> Tenant | None:
    """Return the bound tenant."""
    return db.session.scalar(select(Tenant).where(Tenant.id == tenant_id))


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
