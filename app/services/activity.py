"""What has happened to an installation: acts of people, its runs, its problems, in one list with the newest first."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.db import db
from app.ids import first_at

# Filter of the page -> the sources it shows.
KINDS = {
    "all": ("act", "run", "opened", "closed"), "people": ("act",), "runs": ("run",), "problems": ("opened", "closed"),
}  # fmt: skip
Cursor = tuple[datetime, uuid.UUID]


@dataclass(frozen=True)
class Entry:
    """Something that has happened. `kind`: act (`what` is its audit action), run (its state), opened or closed (a
    problem's code). `who` is None where nobody but the schedule or a vendor was the cause."""

    at: datetime
    id: uuid.UUID
    kind: str
    who: str | None
    what: str
    subject: str
    subject_type: str
    subject_id: str
    details: Mapping[str, Any]

    @property
    def cursor(self) -> Cursor:
        """Where a page that ends with this entry goes on."""
        return self.at, self.id


_ACTS = """
    SELECT created_at AS at, id, 'act' AS kind, actor AS who, action AS what, subject, subject_type, subject_id, details
    FROM audit WHERE tenant_id = :tenant AND installation_id = :installation AND (created_at, id) < (:at, :id)
    ORDER BY created_at DESC, id DESC LIMIT :limit
"""
# Ids of runs are made of the time, so their index ends where the page begins. With other kinds beside them only those
# are told that somebody asked for, that read everything, or that did not come to a good end.
_RUNS = """
    SELECT r.created_at AS at, r.id, 'run' AS kind, u.name AS who, r.state AS what,
        coalesce(r.error_message, '') AS subject, 'run' AS subject_type, r.id::text AS subject_id,
        jsonb_build_object('trigger', r.trigger, 'mode', r.mode, 'written', s.written, 'deleted', s.deleted,
            'failed', s.failed, 'seconds', extract(epoch FROM r.finished_at - r.started_at)::float) AS details
    FROM (
        SELECT * FROM runs WHERE tenant_id = :tenant AND installation_id = :installation AND id < :before
        AND (created_at, id) < (:at, :id)
        AND (:every OR state IN ('failed', 'stopped', 'asking') OR trigger IN ('first', 'manual', 'resync', 'silence'))
        ORDER BY id DESC LIMIT :limit
    ) r
    LEFT JOIN users u ON u.id = r.started_by
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(created + updated + linked), 0) AS written, coalesce(sum(deleted), 0) AS deleted,
            coalesce(sum(failed), 0) AS failed
        FROM run_streams WHERE tenant_id = r.tenant_id AND run_id = r.id
    ) s ON true
"""
_OPENED = """
    SELECT p.created_at AS at, p.id, 'opened' AS kind, NULL::text AS who, p.code AS what, p.message AS subject,
        'problem' AS subject_type, p.id::text AS subject_id,
        jsonb_build_object('stops', p.stops_sync) AS details
    FROM problems p WHERE p.tenant_id = :tenant AND p.installation_id = :installation
    AND (p.created_at, p.id) < (:at, :id) ORDER BY p.created_at DESC, p.id DESC LIMIT :limit
"""
_CLOSED = """
    SELECT p.closed_at AS at, p.id, 'closed' AS kind, NULL::text AS who, p.code AS what, p.message AS subject,
        'problem' AS subject_type, p.id::text AS subject_id,
        jsonb_build_object('by', coalesce(p.closed_by, '')) AS details
    FROM problems p WHERE p.tenant_id = :tenant AND p.installation_id = :installation AND p.state = 'closed'
    AND (p.closed_at, p.id) < (:at, :id) ORDER BY p.closed_at DESC, p.id DESC LIMIT :limit
"""
_SOURCES = {"act": _ACTS, "run": _RUNS, "opened": _OPENED, "closed": _CLOSED}
_WHOLE = "SELECT * FROM ({}) found ORDER BY at DESC, id DESC LIMIT :limit"
_STATEMENTS = {
    kind: text(_WHOLE.format(" UNION ALL ".join(f"({_SOURCES[name]})" for name in names)))
    for kind, names in KINDS.items()
}
_END: Cursor = (datetime.fromisoformat("2900-01-01T00:00:00+00:00"), uuid.UUID(int=2**128 - 1))


def list_entries(
    tenant_id: uuid.UUID,
    installation_id: uuid.UUID,
    *,
    kind: str = "all",
    before: Cursor | None = None,
    limit: int = 51,
) -> list[Entry]:
    """Return entries of one of KINDS in one query, newest first; `before` is the cursor of the last page's last entry."""
    at, last = before or _END
    values = {
        "tenant": tenant_id, "installation": installation_id, "at": at, "id": last, "limit": limit,
        "before": first_at(at + timedelta(milliseconds=1)), "every": kind == "runs",
    }  # fmt: skip
    rows = db.session.execute(_STATEMENTS[kind], values)
    return [Entry(*row) for row in rows]
