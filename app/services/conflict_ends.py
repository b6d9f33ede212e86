"""Conflicts that end without a decision: both sides have come to agree, or there is nothing left to decide about."""

import uuid
from collections.abc import Sequence

from sqlalchemy import select

from app.arrays import uuids
from app.db import db, write
from app.models.runs import Conflict
from app.services.page_writes import Raw, connection

# The record has the value of the other side in every field of the conflict: a missing field and null are one. Records
# are locked first, as by whoever else writes to links and conflicts.
_MET = (
    "WITH held AS MATERIALIZED (SELECT c.id FROM conflicts c JOIN records r ON r.tenant_id = c.tenant_id "
    "AND r.id = c.record_id WHERE c.tenant_id = %b AND c.{column} = ANY(%b) AND c.state = 'open' "
    "AND c.kind = 'fields' AND r.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM jsonb_each(c.theirs) AS t "
    "WHERE coalesce(r.data -> t.key, 'null'::jsonb) <> t.value) ORDER BY r.id FOR NO KEY UPDATE OF r), "
    "met AS (UPDATE conflicts c SET state = 'settled', resolution = 'agreed', settled_at = now() FROM held "
    "WHERE c.tenant_id = %b AND c.id = held.id AND c.state = 'open' "
    "RETURNING c.installation_id, c.stream, c.external_id, c.theirs) "
    "UPDATE links l SET base = l.base || met.theirs, updated_at = now() FROM met WHERE l.tenant_id = %b "
    "AND l.installation_id = met.installation_id AND l.stream = met.stream AND l.external_id = met.external_id"
)
_GONE = (
    "UPDATE conflicts c SET state = 'settled', resolution = 'gone', settled_at = now() FROM records r "
    "WHERE c.tenant_id = %b AND c.{column} = ANY(%b) AND c.state = 'open' AND r.tenant_id = c.tenant_id "
    "AND r.id = c.record_id AND r.deleted_at IS NOT NULL AND c.kind <> 'match'"
)


def follow_edits(tenant_id: uuid.UUID, record_ids: Sequence[uuid.UUID]) -> None:
    """Records have changed here: settle those of their conflicts in which both sides have the same values now."""
    _end(connection(), _MET, "record_id", tenant_id, record_ids)


def follow_deletes(tenant_id: uuid.UUID, record_ids: Sequence[uuid.UUID]) -> None:
    """Records have been deleted here: nothing of their conflicts is left to decide. Both values stay in the rows."""
    _end(connection(), _GONE, "record_id", tenant_id, record_ids)


def sweep(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Settle what has ended through another installation, whose pages do not look at conflicts of this one."""
    some = select(Conflict.id).where(
        Conflict.tenant_id == tenant_id, Conflict.installation_id == installation_id, Conflict.state == "open"
    )
    if db.session.scalar(some.limit(1)) is not None:
        for statement in (_MET, _GONE):
            _end(connection(), statement, "installation_id", tenant_id, [installation_id])


def close_all(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """The installation is gone: nothing is left to decide."""
    write(
        Conflict.__table__.update()
        .where(Conflict.tenant_id == tenant_id, Conflict.installation_id == installation_id, Conflict.state == "open")
        .values(state="settled", resolution="gone", settled_at=db.func.now())
    )


def _end(sql: Raw, statement: str, column: str, tenant_id: uuid.UUID, ids: Sequence[uuid.UUID]) -> None:
    more = (tenant_id, tenant_id) if statement is _MET else ()
    if ids:
        sql.execute(statement.format(column=column), (tenant_id, uuids(ids), *more))
