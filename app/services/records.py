"""The host's records as a tenant browses them: list, and find by key. One with all its story: record_traces.py."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, tuple_

from app.db import db
from app.errors import NotFoundError
from app.models.installations import InstallationStream
from app.models.records import Link, Record, RecordKey
from app.sync.keys import normalise
from app.tenancy import scoped

COUNT_LIMIT = 10_000


def list_records(
    tenant_id: uuid.UUID, object_type: str, *, value: str = "", deleted: bool = False,
    before: tuple[Any, uuid.UUID] | None = None, limit: int = 50,
) -> list[Record]:  # fmt: skip
    """Return records, last changed first; `value` finds by exact key (e-mail, domain), `before` continues a list."""
    query = scoped(Record, tenant_id).where(Record.object_type == object_type)
    query = query.where(Record.deleted_at.is_not(None) if deleted else Record.deleted_at.is_(None))
    if value:
        query = query.where(Record.id.in_(_by_value(tenant_id, object_type, value)))
    if before:
        query = query.where(tuple_(Record.updated_at, Record.id) < before)
    return list(db.session.scalars(query.order_by(Record.updated_at.desc(), Record.id.desc()).limit(limit)))


def _by_value(tenant_id: uuid.UUID, object_type: str, value: str) -> list[uuid.UUID]:
    by_key = select(RecordKey.record_id).where(
        RecordKey.tenant_id == tenant_id, RecordKey.object_type == object_type, RecordKey.value == normalise(value)
    )
    found = list(db.session.scalars(by_key.limit(100)))
    try:
        found.append(uuid.UUID(value.strip()))
    except ValueError:
        # An external id is found within its installation and stream: each of the tenant's is asked by the index.
        at_stream = (Link.installation_id == InstallationStream.installation_id) & (
            Link.stream == InstallationStream.stream
        )
        by_link = (
            select(Link.record_id)
            .join(InstallationStream, (InstallationStream.tenant_id == Link.tenant_id) & at_stream)
            .where(Link.tenant_id == tenant_id, Link.external_id == value.strip())
        )
        found.extend(db.session.scalars(by_link.limit(100)))
    return found


def page_records(
    tenant_id: uuid.UUID, object_type: str, *, value: str = "", external_id: str = "", deleted: bool = False,
    since: datetime | None = None, after: tuple[datetime, uuid.UUID] | None = None, limit: int = 50,
) -> list[Record]:  # fmt: skip
    """Return records, last changed last: one that changes while somebody pages is met again, and none is missed."""
    query = scoped(Record, tenant_id).where(Record.object_type == object_type)
    query = query.where(Record.deleted_at.is_not(None) if deleted else Record.deleted_at.is_(None))
    if value:
        query = query.where(Record.id.in_(_by_value(tenant_id, object_type, value)))
    if external_id:
        query = query.where(Record.external_id == external_id)
    if since:
        query = query.where(Record.updated_at >= since)
    if after:
        query = query.where(tuple_(Record.updated_at, Record.id) > after)
    return list(db.session.scalars(query.order_by(Record.updated_at, Record.id).limit(limit)))


def list_links(tenant_id: uuid.UUID, record_id: uuid.UUID) -> list[Link]:
    """Return where a record is linked to."""
    query = scoped(Link, tenant_id).where(Link.record_id == record_id, Link.deleted_at.is_(None))
    return list(db.session.scalars(query.order_by(Link.id).limit(500)))


def count_records(tenant_id: uuid.UUID) -> dict[str, int]:
    """Return object type -> number of live records, counted up to COUNT_LIMIT + 1 each."""
    counts = {}
    for object_type in db.session.scalars(text(_TYPES), {"tenant": tenant_id}).all():
        some = scoped(Record, tenant_id).where(Record.object_type == object_type, Record.deleted_at.is_(None))
        inner = some.with_only_columns(Record.id).limit(COUNT_LIMIT + 1).subquery()
        counts[object_type] = db.session.scalar(select(func.count()).select_from(inner)) or 0
    return counts


# From each type to the next one by the index, which has those that are not deleted: SELECT DISTINCT reads all records.
_TYPES = (
    "WITH RECURSIVE t(name) AS (SELECT min(object_type) FROM records WHERE tenant_id = :tenant AND deleted_at IS NULL UNION ALL SELECT "
    "(SELECT min(object_type) FROM records WHERE tenant_id = :tenant AND deleted_at IS NULL AND object_type > t.name) FROM t "
    "WHERE t.name IS NOT NULL) SELECT name FROM t WHERE name IS NOT NULL"
)


def get_record(tenant_id: uuid.UUID, record_id: uuid.UUID) -> Record:
    """Return the record or raise NotFoundError."""
    found = db.session.scalar(scoped(Record, tenant_id).where(Record.id == record_id))
    if found is None:
        raise NotFoundError("There is no such record.")
    return found
