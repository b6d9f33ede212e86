"""All that happened to a record, newest first: changes, writes, conflicts, failed tries and links as one story.

One query finds which events there are, in a total order that a page goes on from; then each kind is read once.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from app.db import db
from app.models.accounts import User
from app.models.installations import Installation
from app.models.intents import Intent
from app.models.records import Change, Link
from app.models.runs import Conflict, FailedRecord, Run
from app.tenancy import scoped

Row = Change | Intent | Conflict | FailedRecord | Link
KINDS = ("changes", "writes", "conflicts", "failures", "links")
_MINE = "tenant_id = :tenant AND record_id = :record"
# A link that a change or a write of ours tells of already is told once, unless somebody asks for links.
_UNTOLD = (
    "(:links OR NOT EXISTS (SELECT 1 FROM changes c WHERE c.tenant_id = l.tenant_id AND c.record_id = l.record_id AND "
    "c.installation_id = l.installation_id AND c.stream = l.stream AND c.external_id = l.external_id AND "
    "c.operation IN ({})) AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.tenant_id = l.tenant_id AND "
    "i.record_id = l.record_id AND i.installation_id = l.installation_id AND i.external_id = l.external_id AND "
    "i.state = 'confirmed' AND i.operation = '{}'))"
)
_MADE, _ENDED = _UNTOLD.format("'created', 'linked'", "create"), _UNTOLD.format("'deleted'", "delete")
_ITS_LINKS = f"SELECT installation_id, stream, external_id FROM links WHERE {_MINE}"  # noqa: S608  # constants only
_LAST_TRY = "coalesce(resolved_at, last_failed_at)"
# Each refused write tells of itself: what is told of its record is the try that comes.
_NEXT_TRY = f"CASE WHEN state = 'waiting' THEN coalesce(retry_at, last_failed_at) ELSE {_LAST_TRY} END"
# Kind of event -> its moment and where it is read from.
_BRANCHES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "changes": (("change", "created_at", f"changes WHERE {_MINE}"),),
    "writes": (("write", "coalesce(settled_at, sent_at, created_at)", f"intents WHERE {_MINE}"),),
    "conflicts": (
        ("conflict", "created_at", f"conflicts WHERE {_MINE}"),
        ("decision", "settled_at", f"conflicts WHERE {_MINE} AND settled_at IS NOT NULL AND resolution <> 'policy'"),
    ),
    "failures": (
        ("failure", _NEXT_TRY, f"failed_records WHERE {_MINE}"),
        (
            "failure", _LAST_TRY,
            "failed_records WHERE tenant_id = :tenant AND record_id IS NULL AND direction = 'in' AND "
            f"(installation_id, stream, external_id) IN ({_ITS_LINKS})",
        ),
    ),
    "links": (
        ("link", "created_at", f"links l WHERE {_MINE} AND {_MADE}"),
        ("end", "deleted_at", f"links l WHERE {_MINE} AND deleted_at IS NOT NULL AND {_ENDED}"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Position:
    """Where a story goes on: after the event of this moment, id and kind."""

    moment: datetime
    id: uuid.UUID
    kind: str

    def __str__(self) -> str:
        return f"{self.moment.isoformat()}~{self.id}~{self.kind}"


def position_of(text_: str) -> Position | None:
    """Return a position from its text, None for anything else."""
    try:
        moment, name, kind = text_.replace(" ", "+").split("~")
        found = Position(datetime.fromisoformat(moment), uuid.UUID(name), kind)
    except ValueError:
        return None
    return found if found.moment.tzinfo else None


@dataclass(frozen=True)
class Event:
    """One event: its kind, its row, the installation it was about and the person who decided, where there is one."""

    at: Position
    row: Row
    installation: Installation | None = None
    run: Run | None = None
    person: str = ""


@dataclass(frozen=True)
class Events:
    """A page of a story and where it goes on."""

    events: list[Event] = field(default_factory=list)
    older: Position | None = None


def list_events(
    tenant_id: uuid.UUID, record_id: uuid.UUID, *, kind: str = "", before: Position | None = None, limit: int = 40
) -> Events:
    """Return events of a record, newest first; `kind` is one of KINDS, empty for all; `before` continues a list."""
    found = _positions(tenant_id, record_id, kind, before, limit + 1)
    shown = found[:limit]
    rows = _rows(tenant_id, shown)
    installations = _by_id(
        tenant_id, Installation, {row.installation_id for row in rows.values() if row.installation_id}
    )
    runs = _by_id(tenant_id, Run, {getattr(row, "run_id", None) for row in rows.values()} - {None})
    people = _people({row.settled_by for row in rows.values() if isinstance(row, Conflict) and row.settled_by})
    events = [
        Event(
            at, rows[at.id], installations.get(rows[at.id].installation_id),
            runs.get(getattr(rows[at.id], "run_id", None)), people.get(getattr(rows[at.id], "settled_by", None), ""),
        )
        for at in shown
        if at.id in rows
    ]  # fmt: skip
    return Events(events, shown[-1] if len(found) > limit else None)


def _positions(
    tenant_id: uuid.UUID, record_id: uuid.UUID, kind: str, before: Position | None, limit: int
) -> list[Position]:
    branches = [branch for name in ([kind] if kind in KINDS else KINDS) for branch in _BRANCHES[name]]
    every = " UNION ALL ".join(
        f"SELECT {moment} AS at, id, '{name}' AS kind FROM {rest}"  # noqa: S608  # as above
        for name, moment, rest in branches
    )
    after = "WHERE (at, id, kind) < (:at, :id, :kind)" if before else ""
    query = f"SELECT at, id, kind FROM ({every}) AS e {after} ORDER BY at DESC, id DESC, kind DESC LIMIT :limit"  # noqa: S608  # constants only
    values: dict[str, Any] = {"tenant": tenant_id, "record": record_id, "links": kind == "links", "limit": limit}
    if before:
        values |= {"at": before.moment, "id": before.id, "kind": before.kind}
    return [Position(*row) for row in db.session.execute(text(query), values)]


def _rows(tenant_id: uuid.UUID, positions: list[Position]) -> dict[uuid.UUID, Row]:
    """Return the rows of events by id; a fixed number of queries."""
    models: Mapping[tuple[str, ...], type[Row]] = {
        ("change",): Change, ("write",): Intent, ("conflict", "decision"): Conflict, ("failure",): FailedRecord,
        ("link", "end"): Link,
    }  # fmt: skip
    found: dict[uuid.UUID, Row] = {}
    for kinds, model in models.items():
        found |= _by_id(tenant_id, model, {at.id for at in positions if at.kind in kinds})
    return found


def _by_id(tenant_id: uuid.UUID, model: Any, ids: set[Any]) -> dict[Any, Any]:
    found = db.session.scalars(scoped(model, tenant_id).where(model.id.in_(ids))) if ids else ()
    return {row.id: row for row in found}


def _people(ids: set[uuid.UUID]) -> dict[Any, str]:
    found = db.session.execute(select(User.id, User.name).where(User.id.in_(ids))) if ids else ()
    return {row[0]: row[1] for row in found}
