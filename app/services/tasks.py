"""The staging table of RQ: add a task with the change that causes it; claim, fence and end it in a worker."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import ColumnElement, case, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app import queue
from app.clock import now
from app.config import Settings
from app.db import db, write
from app.ids import new_id
from app.models.tasks import Task, TaskGate
from app.sync.backoff import backoff
from app.transaction import after_commit

# Literal, as the index has it: with bound values the plan PostgreSQL keeps from the tenth use on finds no such index.
_LIVE = text("state in ('ready', 'leased')")
_CLOCK = func.clock_timestamp()
_FRESH = case((Task.rerun, 0), else_=Task.attempts)


class LeaseLostError(Exception):
    """Another worker has taken the task over; whatever this one still holds must not be written."""


@dataclass(frozen=True)
class LeasedTask:
    """A task this worker holds until its lease ends."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    token: int
    lane: str
    kind: str
    key: str
    ref: uuid.UUID | None
    attempts: int
    max_attempts: int


@dataclass(frozen=True)
class Done:
    """The work is finished."""


@dataclass(frozen=True)
class Again:
    """There is more to do, not before `due_at`; `ref` replaces the task's own, for work that goes on from somewhere."""

    due_at: datetime
    ref: uuid.UUID | None = None


@dataclass(frozen=True)
class Park:
    """A person must look at it; `reason` says at what."""

    reason: str


Outcome = Done | Again | Park


def _settings() -> Settings:
    found: Settings = current_app.extensions["settings"]
    return found


def add_task(
    tenant_id: uuid.UUID, lane: str, kind: str, key: str, *, ref: uuid.UUID | None = None,
    host: str | None = None, due_at: datetime | None = None, max_attempts: int = 5,
) -> None:  # fmt: skip
    """Add a task in the caller's transaction and ring after it.

    One live task per (tenant, kind, key): a ready one is moved forward, a running one runs once more afterwards, so
    that no wake-up is lost. `host` is the vendor's that the work will call: only so many tasks call one at once.
    """
    due = due_at or now()
    statement = insert(Task).values(
        tenant_id=tenant_id, id=new_id(), lane=lane, kind=kind, key=key, ref=ref, host=host, due_at=due,
        max_attempts=max_attempts, created_at=now(),
    )  # fmt: skip
    leased = Task.state == "leased"
    # What the running slice was due for is served; only wake-ups that came since then count, the earliest of them.
    soonest = func.least(Task.due_at, statement.excluded.due_at)
    db.session.execute(insert(TaskGate).values(tenant_id=tenant_id, lane=lane).on_conflict_do_nothing())
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "kind", "key"],
            index_where=_LIVE,
            set_={
                "rerun": or_(Task.rerun, leased),
                "due_at": case((leased & ~Task.rerun, statement.excluded.due_at), else_=soonest),
                "host": func.coalesce(statement.excluded.host, Task.host),
            },
        )
    )
    url = _settings().redis_url.get_secret_value()
    if due <= now() + timedelta(seconds=1):
        after_commit(lambda: queue.ring(url, lane))


_CLAIMED = "task_tenant, task_id, task_token, task_kind, task_key, task_ref, task_attempts, task_max_attempts"


def claim(lane: str, worker: str) -> LeasedTask | None:
    """Claim the next due task of a lane: the tenant served least recently, then its oldest. None when none is due."""
    settings = _settings()
    row = db.session.execute(
        text(f"SELECT {_CLAIMED} FROM claim_task(:lane, :worker, :lease, :tenants, :hosts)"),  # noqa: S608  # constants only
        {
            "lane": lane, "worker": worker, "lease": settings.lease_seconds, "tenants": settings.tenant_cap,
            "hosts": settings.host_cap,
        },
    ).first()  # fmt: skip
    return LeasedTask(row[0], row[1], row[2], lane, row[3], row[4], row[5], row[6], row[7]) if row else None


def _held(task: LeasedTask) -> tuple[ColumnElement[bool], ...]:
    return (
        Task.tenant_id == task.tenant_id,
        Task.id == task.id,
        Task.lease_token == task.token,
        Task.state == "leased",
    )


def fence(task: LeasedTask, *, moved: bool = False) -> None:
    """Renew the lease, or raise LeaseLostError: the first statement of each transaction that writes results.

    `moved`: this transaction brings the work on for good, so earlier tries that were lost no longer count.
    A page of a sync has a fence of its own, in page_writes.open_page.
    """
    values: dict[str, object] = {"lease_until": _CLOCK + timedelta(seconds=_settings().lease_seconds)}
    renewed = update(Task).where(*_held(task)).values(values | ({"attempts": 0} if moved else {}))
    if write(renewed) != 1:
        raise LeaseLostError


def end(task: LeasedTask, outcome: Outcome) -> None:
    """Record the outcome under the fence; a task asked for again meanwhile becomes ready anew."""
    values: dict[str, object] = {"lease_until": None, "rerun": False, "attempts": 0}
    match outcome:
        case Again(due_at, ref):
            # A wake-up that came meanwhile wins over a later time.
            due = case((Task.rerun, func.least(Task.due_at, due_at)), else_=literal(due_at))
            values |= {"state": "ready", "due_at": due} | ({"ref": ref} if ref else {})
        case Park(reason):
            values |= {"last_error": reason[:500], **_over("parked")}
        case Done():
            values |= _over("done")
    _guarded(task, values)


def _over(state: str) -> dict[str, object]:
    # A wake-up that came meanwhile is never lost, whatever the end was: its run is still to come.
    return {"state": case((Task.rerun, "ready"), else_=state), "finished_at": case((Task.rerun, None), else_=_CLOCK)}


def fail(task: LeasedTask, error: str) -> None:
    """Record an unexpected error: again later with backoff, or dead after the last attempt."""
    dead = task.attempts >= task.max_attempts
    due = now() + timedelta(seconds=backoff(task.attempts, seed=str(task.id)))
    values: dict[str, object] = {"last_error": error[:500], "lease_until": None, "rerun": False}
    values |= {"attempts": _FRESH, **_over("dead")} if dead else {"state": "ready", "due_at": due}
    _guarded(task, values)
    if dead:
        _report_dead(task.tenant_id, task.kind, task.ref)


def _report_dead(tenant_id: uuid.UUID, kind: str, ref: uuid.UUID | None) -> None:
    # A run whose task is dead would look live for ever; a task of its own ends it.
    if kind == "sync" and ref is not None:
        add_task(tenant_id, "fast", "give_up", str(ref), ref=ref)


def _guarded(task: LeasedTask, values: dict[str, object]) -> None:
    changed = update(Task).where(*_held(task)).values(values)
    if write(changed) != 1:
        raise LeaseLostError


def is_live(tenant_id: uuid.UUID, kind: str, key: str) -> bool:
    """Whether there is a task of this kind and key that is ready or being worked on."""
    query = select(Task.id).where(Task.tenant_id == tenant_id, Task.kind == kind, Task.key == key, _LIVE)
    return db.session.scalar(query) is not None


def is_due(tenant_id: uuid.UUID, kind: str, key: str) -> bool:
    """Whether such a task is being worked on, or is about to be."""
    soon = or_(Task.state == "leased", Task.due_at <= now() + timedelta(seconds=2))
    query = select(Task.id).where(Task.tenant_id == tenant_id, Task.kind == kind, Task.key == key, _LIVE, soon)
    return db.session.scalar(query) is not None


def others_wait(task: LeasedTask) -> bool:
    """Whether another tenant has due work in this task's lane."""
    query = text("SELECT lane_waits(:lane, :tenant)")
    return bool(db.session.scalar(query, {"lane": task.lane, "tenant": task.tenant_id}))


def sweep() -> int:
    """Free tasks whose lease has run out; one that has used all attempts is dead. For the dispatcher."""
    expired = (
        select(Task.tenant_id, Task.id)
        .where(Task.state == "leased", Task.lease_until < _CLOCK)
        .with_for_update(skip_locked=True)
        .cte("expired")
    )
    spent = Task.attempts >= Task.max_attempts
    dead = spent & ~Task.rerun
    freed = db.session.execute(
        update(Task)
        .where(Task.tenant_id == expired.c.tenant_id, Task.id == expired.c.id, Task.state == "leased")
        .values(
            state=case((dead, "dead"), else_="ready"),
            last_error=case((dead, "The worker was lost each time (crash limit)."), else_=Task.last_error),
            finished_at=case((dead, _CLOCK), else_=None),
            attempts=case((spent & Task.rerun, 0), else_=Task.attempts),
            # A wake-up for later must not put off the work that was lost.
            due_at=func.least(Task.due_at, _CLOCK),
            lease_until=None,
        )
        .returning(Task.tenant_id, Task.kind, Task.ref, Task.state),
        execution_options={"synchronize_session": False},
    ).all()
    for tenant_id, kind, ref, state in freed:
        if state == "dead":
            _report_dead(tenant_id, kind, ref)
    return len(freed)


def count_due() -> dict[str, int]:
    """Return lane -> number of due tasks over all tenants. For the dispatcher."""
    rows = db.session.execute(
        select(Task.lane, func.count()).where(Task.state == "ready", Task.due_at <= _CLOCK).group_by(Task.lane)
    )
    return {row[0]: row[1] for row in rows}
