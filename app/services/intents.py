"""Writes to the other side: planned in the transaction that changes a record, so that none is ever lost."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Text, Uuid, column, exists, func, select, true, union_all, update, values
from sqlalchemy.orm import aliased

from app.arrays import texts, uuids
from app.clock import now
from app.db import db, write
from app.ids import raw_ids
from app.models.installations import Installation, InstallationStream
from app.models.intents import Intent
from app.models.records import Change, Record
from app.services import problems, tasks, vendor_hosts
from app.services.page_context import Out, PageContext
from app.services.page_writes import LINKS_OF, Raw, connection
from app.tenancy import scoped

LIVE_STATES = ("planned", "sent", "in_doubt")
_LIVE = "state in ('planned', 'sent', 'in_doubt')"


def outs_of(tenant_id: uuid.UUID, object_type: str) -> tuple[Out, ...]:
    """Return the streams that records of a type are written to; those of a paused installation wait."""
    rows = db.session.execute(
        select(InstallationStream.installation_id, InstallationStream.stream)
        .join(
            Installation,
            (Installation.tenant_id == InstallationStream.tenant_id)
            & (Installation.id == InstallationStream.installation_id),
        )
        .where(
            InstallationStream.tenant_id == tenant_id, InstallationStream.object_type == object_type,
            InstallationStream.enabled, InstallationStream.direction != "in",
            Installation.state.in_(("active", "paused")),
        )
        .order_by(InstallationStream.id)
    )  # fmt: skip
    return tuple(Out(row[0], row[1]) for row in rows)


def plan_changed(tenant_id: uuid.UUID, record_ids: Sequence[uuid.UUID], *, cause: str) -> int:
    """Plan what changed records need at the other sides; call it in the transaction that changed them.

    Returns how many writes are planned. `cause` says who made the change, for people to read.
    """
    types = db.session.execute(
        select(Record.object_type, Record.id).where(Record.tenant_id == tenant_id, Record.id.in_(record_ids))
    ).all()
    outs = {name: outs_of(tenant_id, name) for name in {row[0] for row in types}}
    rows = [(out, record_id) for object_type, record_id in types for out in outs[object_type]]
    plan(connection(), tenant_id, rows, cause=cause)
    return len(rows)


_LAST = uuid.UUID(int=2**128 - 1)


def plan(
    sql: Raw, tenant_id: uuid.UUID, rows: Iterable[tuple[Out, uuid.UUID]], *, cause: str, operation: str = "decide",
    told: int | Mapping[uuid.UUID, int] = 1,
) -> None:  # fmt: skip
    """Plan a write of each record to each stream, once however often it is planned, and wake the workers.

    What is to be written is decided when it is sent: a record that changes ten times is written once. The operation
    `create` says that a record which was deleted there is to be made again. `told`: how many changes are told by it, of
    all records or by record; 0 where it is a write that is made again.
    """
    rows = list(dict.fromkeys(rows))
    if not rows:
        return
    sql.execute(
        "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, cause, operation, told) "  # noqa: S608  # constants only
        "SELECT %b, i, n, s, r, %b, %b, c::int "
        "FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::uuid[], %b::text[]) AS t(i, n, s, r, c) "
        f"ON CONFLICT (tenant_id, installation_id, stream, record_id) WHERE {_LIVE} DO UPDATE SET "
        "told = intents.told + CASE WHEN intents.state = 'planned' THEN excluded.told ELSE 0 END, "
        "told_since = intents.told_since + CASE WHEN intents.state = 'planned' THEN 0 ELSE excluded.told END, "
        "again = intents.again OR intents.state <> 'planned', due_at = least(intents.due_at, now()), "
        "operation = CASE WHEN excluded.operation = 'create' AND intents.state = 'planned' THEN 'create' "
        "ELSE intents.operation END",
        (
            tenant_id, cause[:200], operation, uuids(raw_ids(len(rows))), uuids([out.installation_id for out, _ in rows]),
            texts([out.stream for out, _ in rows]), uuids([record_id for _, record_id in rows]),
            texts([str(told if isinstance(told, int) else told.get(record_id, 0)) for _, record_id in rows]),
        ),
    )  # fmt: skip
    for installation_id in sorted({out.installation_id for out, _ in rows}):
        wake(tenant_id, installation_id)


def drop_planned(tenant_id: uuid.UUID, record_ids: Sequence[uuid.UUID], *, reason: str) -> None:
    """Drop what is planned of records and not yet sent; what is being sent is not followed by another write."""
    mine = update(Intent).where(Intent.tenant_id == tenant_id, Intent.record_id.in_(record_ids))
    newest = select(Change.id).where(Change.tenant_id == tenant_id, Change.record_id == Intent.record_id)
    handled = newest.order_by(Change.id.desc()).limit(1).scalar_subquery()
    dropped = {
        "state": "dropped", "error_message": reason[:500], "settled_at": now(), "again": False, "handled_id": handled,
    }  # fmt: skip
    write(mine.where(Intent.state == "planned").values(dropped))
    write(mine.where(Intent.state.in_(("sent", "in_doubt"))).values(again=False))


def shared(sql: Raw, context: PageContext, record_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of these records that several external records of the stream are linked to: all are kept equal."""
    rows = sql.execute(
        f"SELECT l.record_id FROM {LINKS_OF} l WHERE l.installation_id = %b AND l.stream = %b "  # noqa: S608  # constants only
        "AND l.deleted_at IS NULL GROUP BY l.record_id HAVING count(*) > 1",
        (context.tenant_id, uuids(record_ids), context.installation_id, context.stream),
        binary=True,
    )
    return {row[0] for row in rows}


def plan_missing(sql: Raw, context: PageContext, after: uuid.UUID, *, look_at: int = 5000) -> uuid.UUID | None:
    """Plan to create over there what only the host has, among the `look_at` records after an id.

    Returns the id to go on after, None at the end. In one transaction a million of them would hold it too long.
    """
    if context.out is None:
        return None
    last = sql.execute(
        "SELECT id FROM records WHERE tenant_id = %b AND id > %b ORDER BY id OFFSET %b::int LIMIT 1",
        (context.tenant_id, after, look_at - 1),
    ).fetchone()
    upto = last[0] if last else _LAST
    rows = list_missing(sql, context, but=(), after=after, upto=upto, limit=look_at)
    plan(
        sql,
        context.tenant_id,
        [(context.out, row[0]) for row in rows],
        cause=f"First sync with {context.writer}",
        told=0,
    )
    return upto if last else None


def count_missing(sql: Raw, context: PageContext, *, but: Sequence[uuid.UUID] = ()) -> int:
    """Return how many records only the host has, without those of `but`; none where nothing flows out."""
    if context.out is None:
        return 0
    query = f"SELECT count(*) FROM records r WHERE {_MISSING}"  # noqa: S608  # constants only
    row = sql.execute(query, _missing(context, but)).fetchone()
    return int(row[0]) if row else 0


def list_missing(
    sql: Raw, context: PageContext, *, but: Sequence[uuid.UUID], after: uuid.UUID,
    upto: uuid.UUID = _LAST, limit: int,
) -> list[tuple[uuid.UUID, dict[str, Any]]]:  # fmt: skip
    """Return (id, values) of records that only the host has, without those of `but`, by id, after one and up to one."""
    return sql.execute(
        f"SELECT r.id, r.data FROM records r WHERE {_MISSING} AND r.id > %b AND r.id <= %b ORDER BY r.id LIMIT %b::int",  # noqa: S608  # constants only
        (*_missing(context, but), after, upto, limit),
    ).fetchall()


# Looked up record by record (OFFSET 0 sees to that): on young tables PostgreSQL expects one row from each index, and
# would walk all links of a stream for each record (measured: 20 s and more instead of 0.2 s for 20,000).
_MISSING = (
    "r.tenant_id = %b AND r.object_type = %b AND r.deleted_at IS NULL "
    "AND r.id NOT IN (SELECT unnest(%b::uuid[])) "
    "AND NOT EXISTS (SELECT 1 FROM (SELECT installation_id, stream FROM links WHERE tenant_id = r.tenant_id "
    "AND record_id = r.id OFFSET 0) l WHERE l.installation_id = %b AND l.stream = %b) "
    # What was left out, refused or parked under this mapping is not tried again by each pass.
    "AND NOT EXISTS (SELECT 1 FROM (SELECT installation_id, stream, state, mapping_version FROM intents "
    "WHERE tenant_id = r.tenant_id AND record_id = r.id OFFSET 0) i "
    "WHERE i.installation_id = %b AND i.stream = %b AND (i.state IN ('planned', 'sent', 'in_doubt') "
    "OR (i.mapping_version = %b::int AND i.state <> 'confirmed')))"
)


def _missing(context: PageContext, but: Sequence[uuid.UUID]) -> tuple[Any, ...]:
    place = context.installation_id, context.stream
    return context.tenant_id, context.object_type, uuids(but), *place, *place, context.mapping_version


def answer_deletes(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, delete: bool) -> int:
    """Delete over there what a person was asked about, or leave it there; return how many records it is about."""
    asked = update(Intent).where(
        Intent.tenant_id == tenant_id, Intent.installation_id == installation_id, Intent.state == "parked",
        Intent.error_code == "deletes_ask",
    )  # fmt: skip
    live = aliased(Intent)
    overtaken = exists().where(
        live.tenant_id == tenant_id, live.installation_id == installation_id, live.stream == Intent.stream,
        live.record_id == Intent.record_id, live.state.in_(LIVE_STATES),
    )  # fmt: skip
    # A record that came back meanwhile has a write of its own.
    write(asked.where(overtaken).values({"error_code": None, "state": "dropped"}))
    fresh = {"state": "planned", "operation": "delete", "settled_at": None, "due_at": now()}
    count = write(asked.values({"error_code": None, **(fresh if delete else {"state": "dropped"})}))
    problems.close(tenant_id, installation_id, "deletes_out_ask", by="decided")
    if delete and count:
        wake(tenant_id, installation_id)
    return count


def wake(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, due_at: datetime | None = None) -> None:
    """Have a worker send what is planned for an installation."""
    host = vendor_hosts.host_of(tenant_id, installation_id)
    tasks.add_task(
        tenant_id, "sync", "send_intents", str(installation_id), ref=installation_id, due_at=due_at, host=host
    )


def send_now(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Have what waits sent at once, also what was put off after a failure."""
    mine = (Intent.tenant_id == tenant_id, Intent.installation_id == installation_id)
    write(update(Intent).where(*mine, Intent.state == "planned").values(due_at=now()))
    wake(tenant_id, installation_id)


def wake_waiting(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Wake a worker when the next planned write of the installation is due, if there is any."""
    due = db.session.scalar(
        select(func.min(Intent.due_at)).where(
            Intent.tenant_id == tenant_id, Intent.installation_id == installation_id, Intent.state.in_(LIVE_STATES)
        )
    )
    if due:
        wake(tenant_id, installation_id, due_at=max(due, now()))


def newest_of(
    tenant_id: uuid.UUID, places: Sequence[tuple[uuid.UUID, str, uuid.UUID]]
) -> dict[tuple[uuid.UUID, str, uuid.UUID], Intent]:
    """Return (installation, stream, record) -> the newest write of each of these places that has one."""
    if not places:
        return {}
    named = values(column("installation", Uuid), column("stream", Text), column("record", Uuid), name="places").data(
        list(places)
    )
    # A record that is written all the time has thousands: one descent of the index for each place.
    row = aliased(Intent)
    newest = (
        select(row.id)
        .where(
            row.tenant_id == tenant_id, row.record_id == named.c.record, row.stream == named.c.stream,
            row.installation_id == named.c.installation,
        )
        .order_by(row.id.desc()).limit(1).lateral()
    )  # fmt: skip
    ids = select(newest.c.id).select_from(named.join(newest, true()))
    found = db.session.scalars(scoped(Intent, tenant_id).where(Intent.id.in_(ids)))
    return {(intent.installation_id, intent.stream, intent.record_id): intent for intent in found}


def list_of_record(tenant_id: uuid.UUID, record_id: uuid.UUID, *, limit: int = 100) -> list[Intent]:
    """Return the writes of a record, newest first."""
    query = scoped(Intent, tenant_id).where(Intent.record_id == record_id).order_by(Intent.id.desc()).limit(limit)
    return list(db.session.scalars(query))


def count_states(tenant_id: uuid.UUID, installation_id: uuid.UUID, since: datetime) -> dict[str, int]:
    """Return state -> writes of an installation: those that wait or are under way, and those settled since a moment.

    Of what waits 10,001 stand for more.
    """
    mine = (Intent.tenant_id == tenant_id, Intent.installation_id == installation_id)
    waiting = select(Intent.state).where(*mine, Intent.state.in_(LIVE_STATES)).limit(10_001).subquery()
    settled = select(Intent.state).where(*mine, Intent.settled_at >= since).subquery()
    counted = (select(found.c.state, func.count()).group_by(found.c.state) for found in (waiting, settled))
    return {row[0]: row[1] for row in db.session.execute(union_all(*counted))}
