"""What moved in each stream in 30 days: days that are over are counted once, the present one when somebody looks."""

import uuid
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import RowMapping, delete, text

from app.clock import now
from app.db import db, write
from app.ids import first_at
from app.models.volumes import StreamVolume

DAYS = 30
# A transaction that began within the day may commit after it; none lives longer.
_SETTLES = timedelta(minutes=5)
_NONE = date(1970, 1, 1)


@dataclass(frozen=True)
class Moved:
    """What runs did to the records of a stream in 30 days, and how often the other side has accepted what was written."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    read: int = 0
    pages: int = 0
    written_create: int = 0
    written_update: int = 0
    written_delete: int = 0

    @property
    def written(self) -> dict[str, int]:
        """Operation -> how often the other side has accepted it."""
        return {"create": self.written_create, "update": self.written_update, "delete": self.written_delete}


NOTHING = Moved()
COUNTS = tuple(field.name for field in fields(Moved))
# Runs are found by their ids, which are made of the time.
_RUNS = """
    SELECT rs.stream, sum(rs.created) AS created, sum(rs.updated + rs.linked) AS updated, sum(rs.deleted) AS deleted,
        sum(rs.read) AS read, sum(rs.pages) AS pages
    FROM runs r JOIN run_streams rs ON rs.tenant_id = r.tenant_id AND rs.run_id = r.id
    WHERE r.tenant_id = :tenant AND r.installation_id = {installation} AND r.id >= {since} {until} GROUP BY rs.stream
"""
_WRITES = """
    SELECT stream, count(*) FILTER (WHERE operation = 'create') AS written_create,
        count(*) FILTER (WHERE operation = 'update') AS written_update,
        count(*) FILTER (WHERE operation = 'delete') AS written_delete
    FROM intents WHERE tenant_id = :tenant AND installation_id = {installation} AND state = 'confirmed'
        AND settled_at >= {since} {until} GROUP BY stream
"""
_SUMS = ", ".join(f"coalesce({name}, 0)" for name in COUNTS)
# The numbers of a run that goes on still change: an installation's days are counted up to that of its oldest one.
_FOLD = text(f"""
    INSERT INTO stream_volumes (tenant_id, installation_id, day, stream, {", ".join(COUNTS)})
    SELECT :tenant, i.id, t.day, s.stream, {_SUMS}
    FROM installations i
    CROSS JOIN LATERAL (
        SELECT coalesce(max(day), :none) AS day FROM stream_volumes
        WHERE tenant_id = :tenant AND installation_id = i.id
    ) counted
    JOIN unnest(CAST(:days AS date[]), CAST(:starts AS timestamptz[]), CAST(:since AS uuid[]), CAST(:until AS uuid[]))
        AS t(day, start, since, until) ON t.day > counted.day
    JOIN installation_streams s ON s.tenant_id = :tenant AND s.installation_id = i.id
    LEFT JOIN LATERAL ({_RUNS.format(installation="i.id", since="t.since", until="AND r.id < t.until")}) moved
        ON moved.stream = s.stream
    LEFT JOIN LATERAL ({
    _WRITES.format(installation="i.id", since="t.start", until="AND settled_at < t.start + interval '1 day'")
}) sent ON sent.stream = s.stream
    WHERE i.tenant_id = :tenant AND NOT EXISTS (
        SELECT FROM runs r WHERE r.tenant_id = :tenant AND r.installation_id = i.id AND r.id < t.until
        AND r.state IN ('queued', 'running', 'asking')
    )
    ON CONFLICT DO NOTHING
""")  # noqa: S608  # constants only
_COUNTED = text(f"""
    SELECT stream, max(day) AS newest, {", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in COUNTS)}
    FROM stream_volumes WHERE tenant_id = :tenant AND installation_id = :installation AND day >= :first GROUP BY stream
""")  # noqa: S608  # constants only
_LIVE = text(f"""
    SELECT stream, {", ".join(f"CAST(coalesce({name}, 0) AS bigint) AS {name}" for name in COUNTS)}
    FROM ({_RUNS.format(installation=":installation", since=":run", until="")}) moved
    FULL JOIN ({_WRITES.format(installation=":installation", since=":at", until="")}) sent USING (stream)
""")  # noqa: S608  # constants only


def fold(tenant_id: uuid.UUID) -> int:
    """Count the days of the bound tenant that are over and not counted yet; return how many rows that made."""
    today = _begin((now() - _SETTLES).date())
    first = today - timedelta(days=DAYS)
    write(delete(StreamVolume).where(StreamVolume.tenant_id == tenant_id, StreamVolume.day < first.date()))
    starts = [first + timedelta(days=number) for number in range(DAYS)]
    ids = [first_at(start) for start in (*starts, today)]
    values = {
        "tenant": tenant_id, "none": _NONE, "days": [start.date() for start in starts], "starts": starts,
        "since": ids[:-1], "until": ids[1:],
    }  # fmt: skip
    return write(_FOLD.bindparams(**values))


def read(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> dict[str, Moved]:
    """Return stream -> what moved in it today and on the 29 days of UTC before, in two statements."""
    place = {"tenant": tenant_id, "installation": installation_id}
    first = now().date() - timedelta(days=DAYS - 1)
    rows = list(db.session.execute(_COUNTED, {**place, "first": first}).mappings())
    since = _begin(max((row["newest"] + timedelta(days=1) for row in rows), default=first))
    live = list(db.session.execute(_LIVE, {**place, "run": first_at(since), "at": since}).mappings())
    return {stream: _sum([row for row in (*rows, *live) if row["stream"] == stream]) for stream in _streams(rows, live)}


def _streams(*found: list[RowMapping]) -> set[str]:
    return {row["stream"] for rows in found for row in rows}


def _sum(rows: list[RowMapping]) -> Moved:
    return Moved(**{name: sum(row[name] for row in rows) for name in COUNTS})


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
