"""Questions of a page to the vendor, answered by a worker: choices, a mapped sample, a dry run."""

import uuid
from datetime import timedelta
from typing import Any

from app.clock import now
from app.db import db
from app.errors import NotFoundError
from app.ids import new_id
from app.models.installations import Preview
from app.services import tasks, vendor_hosts
from app.tenancy import scoped

_LIFE = timedelta(hours=1)


def ask(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str, *, stream: str | None = None,
    request: dict[str, Any] | None = None,
) -> Preview:  # fmt: skip
    """Ask, and return the row the page polls."""
    made = add(tenant_id, installation_id, kind, stream=stream, request=request)
    host = vendor_hosts.host_of(tenant_id, installation_id)
    tasks.add_task(tenant_id, "fast", "preview", str(made.id), ref=made.id, host=host, max_attempts=2)
    return made


def add(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str, *, stream: str | None = None,
    request: dict[str, Any] | None = None,
) -> Preview:  # fmt: skip
    """Return a new row for an answer; the caller adds the task that gives it."""
    made = Preview(
        tenant_id=tenant_id, id=new_id(), installation_id=installation_id, kind=kind, stream=stream,
        request=request or {}, expires_at=now() + _LIFE,
    )  # fmt: skip
    db.session.add(made)
    return made


def get(tenant_id: uuid.UUID, preview_id: uuid.UUID) -> Preview:
    """Return a preview or raise NotFoundError."""
    found = db.session.scalar(scoped(Preview, tenant_id).where(Preview.id == preview_id))
    if found is None:
        raise NotFoundError("This preview has expired. Ask again.")
    return found


def find_latest(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, kind: str, stream: str | None = None
) -> Preview | None:
    """Return the newest preview of a kind, None when there is none that still counts."""
    query = scoped(Preview, tenant_id).where(
        Preview.installation_id == installation_id, Preview.kind == kind, Preview.expires_at > now()
    )
    if stream:
        query = query.where(Preview.stream == stream)
    return db.session.scalar(query.order_by(Preview.id.desc()).limit(1))
