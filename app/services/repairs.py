"""Repair of a problem: the records it is about, the real call that is to prove it, and how far that call is."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from flask import current_app
from sqlalchemy import ColumnElement, func, select

from app.db import db
from app.errors import ConflictError
from app.models.intents import Intent
from app.models.object_types import ObjectType
from app.models.records import Record
from app.models.runs import Problem
from app.services import connections, failed_records, intents, runs, tasks
from app.services.repair_cards import Try
from app.tenancy import scoped

LIMIT = 5
# Counted no further.
MANY = 10_000


@dataclass(frozen=True)
class Affected:
    """A record that a problem is about: what it is called, its page, what is said of it, and since when."""

    title: str
    address: str
    what: str
    since: datetime


@dataclass(frozen=True)
class AffectedList:
    """The newest affected records, how many there are (MANY + 1 stands for more), and the page with all of them."""

    rows: Sequence[Affected]
    count: int
    all_at: str = ""
    waits: bool = False


def affected(tenant_id: uuid.UUID, problem: Problem) -> AffectedList:
    """Return the records that a problem is about: those that failed, wait for a decision, or wait to be sent."""
    if problem.state != "open":
        return AffectedList((), 0)
    if problem.code == "records_refused":
        return _failed(tenant_id, problem)
    if problem.code == "deletes_out_ask":
        parked = (Intent.state == "parked") & (Intent.error_code == "deletes_ask")
        return _writes(tenant_id, problem, parked & (Intent.stream == problem.signature.split(":")[1]), waits=False)
    if problem.code == "write_forbidden":
        stream = problem.signature.partition(":")[2]
        waiting = Intent.state.in_(intents.LIVE_STATES)
        return _writes(tenant_id, problem, waiting & (Intent.stream == stream) if stream else waiting)
    if problem.stops_sync:
        return _writes(tenant_id, problem, Intent.state.in_(intents.LIVE_STATES))
    return AffectedList((), 0)


def _failed(tenant_id: uuid.UUID, problem: Problem) -> AffectedList:
    cause, base = failed_records.cause_of(problem.signature), f"/installations/{problem.installation_id}/failed"
    found = failed_records.list_failed_records(tenant_id, problem.installation_id, cause=cause, limit=LIMIT)
    rows = [
        Affected(
            item.title or item.external_id.removeprefix("record:"), f"{base}/{item.id}", item.message, item.last_failed_at
        )
        for item in found
    ]  # fmt: skip
    return AffectedList(rows, problem.count, f"{base}?{urlencode(cause.query)}")


def _writes(
    tenant_id: uuid.UUID, problem: Problem, which: ColumnElement[bool], *, waits: bool = True
) -> AffectedList:  # fmt: skip
    mine = (Intent.tenant_id == tenant_id, Intent.installation_id == problem.installation_id, which)
    some = select(Intent.id).where(*mine).limit(MANY + 1).subquery()
    rows = db.session.execute(
        select(Record, ObjectType.title_field, Intent)
        .join(Intent, (Intent.tenant_id == Record.tenant_id) & (Intent.record_id == Record.id))
        .join(ObjectType, ObjectType.name == Record.object_type)
        .where(*mine).order_by(Intent.id.desc()).limit(LIMIT)
    ).all()  # fmt: skip
    host = current_app.extensions["settings"].host_name
    found = [
        Affected(
            str(r.data.get(title) or r.data.get("email") or r.data.get("name") or "without a name"), f"/records/{r.id}",
            f"deleted in {host}" if r.deleted_at else f"{i.stream}, changed by {i.cause}", i.created_at,
        )
        for r, title, i in rows
    ]  # fmt: skip
    return AffectedList(found, db.session.scalar(select(func.count()).select_from(some)) or 0, waits=waits)


def earlier(tenant_id: uuid.UUID, problem: Problem, limit: int = 3) -> list[Problem]:
    """Return the last times the same problem was open and solved, newest first."""
    query = scoped(Problem, tenant_id).where(
        Problem.installation_id == problem.installation_id, Problem.signature == problem.signature,
        Problem.state == "closed", Problem.id != problem.id,
    )  # fmt: skip
    return list(db.session.scalars(query.order_by(Problem.closed_at.desc()).limit(limit)))


def try_now(tenant_id: uuid.UUID, problem: Problem, how: Try, user_id: uuid.UUID) -> None:
    """Make the real call that proves a repair; the problem closes when it succeeds. ConflictError when none can be made."""
    installation = runs.get_installation(tenant_id, problem.installation_id)
    if problem.state != "open" or installation.state == "removed":
        raise ConflictError("This problem is solved already.")
    if how == "test":
        connections.request_test(tenant_id, connections.get_connection(tenant_id, installation.connection_id))
    elif how == "run":
        runs.start_run(tenant_id, installation.id, trigger="manual", user_id=user_id)
    elif how == "write":
        intents.send_now(tenant_id, installation.id)
    else:
        raise ConflictError("No call can prove this. Decide about it on its page.")


def is_tried(tenant_id: uuid.UUID, problem: Problem, how: Try) -> bool:
    """Whether the call that may prove the repair is under way."""
    if problem.state != "open":
        return False
    if how == "test":
        return connections.of_installation(tenant_id, problem.installation_id).state == "testing"
    if how == "run":
        live = runs.live_run(tenant_id, problem.installation_id)
        return live is not None and live.waiting_until is None
    if how == "write":
        return tasks.is_due(tenant_id, "send_intents", str(problem.installation_id))
    return False
