"""The change stream: every change of records once and none lost, however their transactions overlap.

Ids and times are given out before a transaction commits, so "after the last one I saw" loses what commits late. Rows
carry the number of their transaction instead, and only those are read whose transactions are all over: below the
oldest one that still runs. The numbers are read a window at a time, as far as the answer needs.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from app.clock import now
from app.db import db

# Transactions looked through first, and how many times more the next time when they hold too little.
_WINDOW = 500
_GROWTH = 8
_ROUNDS = 6
_BESIDE = 1_000_000
_NONE = uuid.UUID(int=0)


@dataclass(frozen=True)
class Place:
    """Where a reader stands: all of earlier transactions is read, and of `xid` what comes up to `id`."""

    xid: int
    id: uuid.UUID
    # When it stood there: what is older than the journal is kept for is no place to go on from.
    at: datetime


@dataclass(frozen=True)
class Changes:
    """What was read, the place to go on from, and whether more is there already."""

    rows: Sequence[Row[Any]]
    place: Place
    more: bool


def end() -> Place:
    """Return the place of a reader who has read all that is over."""
    return Place(_limits()[0], _NONE, now())


def _limits() -> tuple[int, int]:
    row = db.session.execute(
        text("SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint FROM pg_current_snapshot() s")
    ).one()
    return row[0], row[1]


def is_known(place: Place) -> bool:
    """Whether the place can be of this database: after a restore from a dump the numbers begin anew."""
    return place.xid <= _limits()[1]


def first(tenant_id: uuid.UUID) -> Place:
    """Return a place before everything that is kept."""
    oldest = db.session.scalar(
        text("SELECT xid FROM changes WHERE tenant_id = :t ORDER BY id LIMIT 1"), {"t": tenant_id}
    )
    # What was written beside the oldest one may have smaller numbers, by as many as began meanwhile.
    return end() if oldest is None else Place(max(oldest - _BESIDE, 0), _NONE, now())


def read(tenant_id: uuid.UUID, after: Place, *, object_type: str = "", limit: int = 100) -> Changes:
    """Return the next changes after a place, oldest transaction first."""
    horizon, _ = _limits()
    until, width, rows = after.xid, _WINDOW, []
    for _ in range(_ROUNDS):
        until, width = min(until + width, horizon), width * _GROWTH
        rows = _window(tenant_id, after, until, object_type, limit + 1)
        if len(rows) > limit or until >= horizon:
            break
    if len(rows) > limit:
        last = rows[limit - 1]
        return Changes(rows[:limit], Place(last.xid, last.id, last.created_at), True)
    # Nobody can commit below the window's end any more: the next time it begins there.
    return Changes(rows, Place(max(until, after.xid), _NONE if until > after.xid else after.id, now()), until < horizon)


def _window(tenant_id: uuid.UUID, after: Place, until: int, object_type: str, limit: int) -> list[Row[Any]]:
    query = text(
        "SELECT c.xid, c.id, c.created_at, c.record_id, c.object_type, c.operation, c.before, c.after, c.writer, "
        "c.installation_id, r.external_id FROM changes c "
        "LEFT JOIN records r ON r.tenant_id = c.tenant_id AND r.id = c.record_id "
        "WHERE c.tenant_id = :tenant AND c.xid >= :xid AND c.xid < :until AND (c.xid, c.id) > (:xid, :id) "
        "AND (:type = '' OR c.object_type = :type) AND (c.operation <> 'linked' OR c.after <> '{}') "
        "ORDER BY c.xid, c.id LIMIT :limit"
    )
    values = {
        "tenant": tenant_id,
        "xid": after.xid,
        "id": after.id,
        "until": until,
        "type": object_type,
        "limit": limit,
    }
    return list(db.session.execute(query, values))
