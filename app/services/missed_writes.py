"""The check of write-back: changes that no write of an installation has handled, and none waits for, are planned anew.

Writes are planned in the transaction of their change, so there should be none: this proves it, and heals what a restore,
a fault or somebody's hand has lost. It reads the journal in batches and plans each record once: the write it plans
says what it has handled, whatever becomes of it, so the next check does not find the record again.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from app.arrays import texts, uuids
from app.clock import now
from app.db import db
from app.ids import first_at
from app.models.installations import Installation, InstallationStream
from app.services import intents
from app.services.handled_changes import OTHERS
from app.services.page_context import Out
from app.services.page_writes import connection

BATCH = 2000
# A check plans no more than this: of more, something else is wrong, and the other sides are not flooded.
MOST = 10_000
CAUSE = "Found by the check of write-back"


@dataclass(frozen=True)
class Looked:
    """What one batch has come to: the change to go on after, None at the end; and how many were missed by whom."""

    after: uuid.UUID | None
    looked: int
    missed: dict[Out, int]


@dataclass(frozen=True)
class _Place:
    """A stream that is told changes of a type after one of them."""

    out: Out
    object_type: str
    told_from: uuid.UUID


def begin(days: int) -> uuid.UUID:
    """Return where a check of the changes of the last days begins."""
    return first_at(now() - timedelta(days=days))


def is_told(tenant_id: uuid.UUID) -> bool:
    """Return whether any stream of the tenant is told changes, and works."""
    return bool(_places(tenant_id))


def look(tenant_id: uuid.UUID, after: uuid.UUID, *, limit: int = BATCH) -> Looked:
    """Look at the records of the next changes after one, and plan what streams have not handled of them.

    Streams that are off, do not flow out or wait for their full pass, and installations that are paused or blocked, are
    left alone: what they miss is found once they work again.
    """
    places = _places(tenant_id)
    if not places:
        return Looked(None, 0, {})
    sql, first = connection(), max(after, min(place.told_from for place in places))
    last, count = sql.execute(_END, (tenant_id, first, limit)).fetchone() or (None, 0)
    if last is None:
        return Looked(None, 0, {})
    rows = sql.execute(
        _MISSED,
        (
            tenant_id, first, last, uuids([place.out.installation_id for place in places]),
            texts([place.out.stream for place in places]), texts([place.object_type for place in places]),
            uuids([place.told_from for place in places]), tenant_id,
        ),
    ).fetchall()  # fmt: skip
    found = [(Out(row[0], row[1]), row[2]) for row in rows]
    intents.plan(sql, tenant_id, found, cause=CAUSE, told=0)
    missed: dict[Out, int] = {}
    for out, _ in found:
        missed[out] = missed.get(out, 0) + 1
    return Looked(last if count == limit else None, count, missed)


def _places(tenant_id: uuid.UUID) -> list[_Place]:
    stream = InstallationStream
    rows = db.session.execute(
        select(stream.installation_id, stream.stream, stream.object_type, stream.told_from)
        .join(Installation, (Installation.tenant_id == stream.tenant_id) & (Installation.id == stream.installation_id))
        .where(
            stream.tenant_id == tenant_id, stream.enabled, stream.direction != "in",
            stream.last_complete_at.is_not(None), Installation.state == "active", Installation.blocked_code.is_(None),
        )
    )  # fmt: skip
    return [_Place(Out(row[0], row[1]), row[2], row[3]) for row in rows if row[3]]


_END = (
    "SELECT (array_agg(id ORDER BY id DESC))[1], count(*)::int FROM "
    "(SELECT id FROM changes WHERE tenant_id = %b AND id > %b ORDER BY id LIMIT %b::int) AS c"
)
# A change and its write are committed together, so one statement sees both or neither. What is deleted here and not
# there any more has nothing to be written; what the undo of a run has deleted stays there.
_MISSED = (
    "SELECT o.i, o.s, r.id FROM (SELECT DISTINCT tenant_id, record_id FROM changes WHERE tenant_id = %b AND id > %b "  # noqa: S608  # constants only
    "AND id <= %b) AS d JOIN records r ON r.tenant_id = d.tenant_id AND r.id = d.record_id "
    "JOIN unnest(%b::uuid[], %b::text[], %b::text[], %b::uuid[]) AS o(i, s, kind, told_from) ON o.kind = r.object_type "
    "CROSS JOIN LATERAL (SELECT c.id, c.operation = 'deleted' AND c.run_id IS NOT NULL AND c.installation_id IS NULL "
    "AS undone FROM changes c WHERE c.tenant_id = r.tenant_id AND c.record_id = r.id AND c.id > o.told_from "
    f"AND {OTHERS.format('o.i', 'o.s')} ORDER BY c.id DESC LIMIT 1) AS newest "
    "WHERE r.tenant_id = %b AND NOT newest.undone AND NOT EXISTS (SELECT FROM (SELECT installation_id, stream, state, "
    "handled_id FROM intents WHERE tenant_id = r.tenant_id AND record_id = r.id OFFSET 0) AS n "
    "WHERE n.installation_id = o.i AND n.stream = o.s "
    "AND (n.state IN ('planned', 'sent', 'in_doubt') OR n.handled_id >= newest.id)) "
    "AND (r.deleted_at IS NULL OR EXISTS (SELECT FROM (SELECT installation_id, stream, deleted_at FROM links "
    "WHERE tenant_id = r.tenant_id AND record_id = r.id OFFSET 0) AS l "
    "WHERE l.installation_id = o.i AND l.stream = o.s AND l.deleted_at IS NULL))"
)
