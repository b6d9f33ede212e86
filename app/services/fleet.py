"""The fleet: the status of every installation, kept with each change of it and read by the host's staff."""

import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Row, case, delete, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.db import db
from app.models.accounts import Tenant
from app.models.fleet import InstallationStatus
from app.models.installations import Installation, Schedule
from app.models.listings import ListingVersion
from app.models.runs import UNFINISHED, Conflict, FailedRecord, Problem, Run
from app.services import tasks
from app.sync.schedule import promise_of
from app.sync.status import Facts, late_at, status_of
from app.transaction import before_commit


@dataclass(frozen=True)
class Filters:
    """What the fleet list is narrowed to; each empty one does not count."""

    tenant: str = ""
    connector: str = ""
    version: str = ""
    status: str = ""
    signature: str = ""


@dataclass(frozen=True)
class Cause:
    """An error signature: how many installations of how many tenants have it."""

    signature: str
    connector: str
    installations: int
    tenants: int


# Open problems of single streams that may not be read, while the others are.
ABOUT_STREAMS = (Problem.state == "open") & (Problem.code == "permission_missing") & ~Problem.stops_sync
_TOLD_AFTER = timedelta(minutes=1)
FILTERS = tuple(field.name for field in fields(Filters))


def touch(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Say that the status may have changed: it is written anew as the last act of the transaction."""
    before_commit(("fleet", str(tenant_id), str(installation_id)), lambda: _write(tenant_id, installation_id))


def _write(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    mine = (InstallationStatus.tenant_id == tenant_id, InstallationStatus.id == installation_id)
    # Locked before anything is read: of two changes at once the later one sees what the earlier one has done.
    before = db.session.execute(
        select(InstallationStatus.status, InstallationStatus.late_at).where(*mine).with_for_update()
    ).first()
    row = _read(tenant_id, installation_id)
    if row is None or row.state == "removed":
        db.session.execute(delete(InstallationStatus).where(*mine))
        return
    facts = Facts(
        row.state, row.blocked_code is not None, row.failures_in_row, row.failed, row.conflicts, row.streams_failed > 0,
        row.running, row.asking, promise_of(row.kind, row.minutes), row.promised_at, row.last_success_at,
    )  # fmt: skip
    late = late_at(facts)
    values = {
        "tenant_name": row.name, "connector": row.connector, "version": row.label,
        # Without what is late by now: that is seen from `late_at`, whenever the row is read.
        "status": status_of(replace(facts, promise=None), now()), "late_at": late,
        "signature": row.signature, "last_success_at": row.last_success_at, "changed_at": now(),
    }  # fmt: skip
    if before is None or before.status != values["status"] or (before.late_at is None) != (late is None):
        # People are told of it a little later: what is over by then is not worth a message.
        tasks.add_task(tenant_id, "send", "notify", "tenant", due_at=now() + _TOLD_AFTER)
    statement = insert(InstallationStatus).values(
        tenant_id=tenant_id, id=installation_id, created_at=now(), **values
    )  # fmt: skip
    fresh = statement.excluded
    new = or_(*(getattr(InstallationStatus, name).is_distinct_from(fresh[name]) for name in ("status", "signature")))
    other = [name for name in values if name != "changed_at"]
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "id"],
            set_={
                **{name: fresh[name] for name in other},
                "changed_at": case((new, fresh.changed_at), else_=InstallationStatus.changed_at),
            },
            where=or_(*(getattr(InstallationStatus, name).is_distinct_from(fresh[name]) for name in other)),
        )
    )


def _read(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Row[Any] | None:
    def count(model: Any, condition: ColumnElement[bool]) -> Any:
        mine = (model.tenant_id == tenant_id, model.installation_id == installation_id)
        return select(func.count()).select_from(model).where(*mine, condition).scalar_subquery()

    unfinished: ColumnElement[bool] = literal_column(f"runs.{UNFINISHED}", Boolean)
    problem = (
        select(Problem.signature)
        .where(Problem.tenant_id == tenant_id, Problem.installation_id == installation_id, Problem.state == "open")
        .order_by(Problem.stops_sync.desc(), Problem.last_seen_at.desc())
        .limit(1)
    )
    return db.session.execute(
        select(
            Installation.state, Installation.blocked_code, Installation.failures_in_row, Installation.connector,
            Installation.last_success_at, ListingVersion.label, Tenant.name,
            count(FailedRecord, FailedRecord.state.in_(("waiting", "parked"))).label("failed"),
            count(Conflict, Conflict.state == "open").label("conflicts"),
            count(Problem, ABOUT_STREAMS).label("streams_failed"),
            (count(Run, unfinished & Run.state.in_(("queued", "running"))) > 0).label("running"),
            (count(Run, unfinished & (Run.state == "asking")) > 0).label("asking"),
            Schedule.kind, Schedule.minutes, Schedule.promised_at,
            problem.scalar_subquery().label("signature"),
        )
        .join(ListingVersion, ListingVersion.id == Installation.listing_version_id)
        .join(Tenant, Tenant.id == Installation.tenant_id)
        .join(
            Schedule,
            (Schedule.tenant_id == Installation.tenant_id) & (Schedule.installation_id == Installation.id),
        )
        .where(Installation.tenant_id == tenant_id, Installation.id == installation_id)
    ).first()  # fmt: skip


def list_statuses(
    filters: Filters, *, before: uuid.UUID | None = None, limit: int = 50
) -> Sequence[InstallationStatus]:
    """Return installations of all tenants, newest first, for bound staff; `before` is the id the last page ended with."""
    tenant, *exact = astuple(filters)
    query = select(InstallationStatus)
    if tenant:
        query = query.where(InstallationStatus.tenant_name.icontains(tenant, autoescape=True))
    for name, value in zip(FILTERS[1:], exact, strict=True):
        if name == "status" and value:
            query = query.where(has_word(value))
        elif value:
            query = query.where(getattr(InstallationStatus, name) == value)
    if before:
        query = query.where(InstallationStatus.id < before)
    return db.session.scalars(query.order_by(InstallationStatus.id.desc()).limit(limit)).all()


def has_word(word: str) -> ColumnElement[bool]:
    """Return the condition for the rows whose status is now this word."""
    late = func.coalesce(InstallationStatus.late_at < now(), False)
    if word in ("late", "healthy"):
        return (InstallationStatus.status == "healthy") & (late if word == "late" else ~late)
    return InstallationStatus.status == word


def name_of(tenant_id: uuid.UUID) -> str:
    """Return the name of the bound tenant."""
    return db.session.scalars(select(Tenant.name).where(Tenant.id == tenant_id)).one()


def list_causes(limit: int = 10) -> list[Cause]:
    """Return the error signatures that most installations have, for bound staff."""
    rows = db.session.execute(
        select(
            InstallationStatus.signature, InstallationStatus.connector, func.count(),
            func.count(InstallationStatus.tenant_id.distinct()),
        )
        .where(InstallationStatus.signature.is_not(None))
        .group_by(InstallationStatus.signature, InstallationStatus.connector)
        .order_by(func.count().desc(), InstallationStatus.signature)
        .limit(limit)
    )  # fmt: skip
    return [Cause(row[0] or "", row[1], row[2], row[3]) for row in rows]
