"""The end of a tenant: asked for, taken back within the grace, done by a worker, told in a signed report that stays."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import orjson
from flask import current_app
from sqlalchemy import delete, func, select

from app.clock import now
from app.config import Settings
from app.db import bound_meanwhile, db, write
from app.errors import ConflictError, InvalidError, NotFoundError
from app.ids import new_id
from app.models.accounts import Membership, StaffRole, Tenant, User
from app.models.connections import Connection
from app.models.installations import Installation
from app.models.tasks import Task
from app.models.tenant_data import Erasure
from app.services import accounts, audit, mails, tasks, tenant_tables
from app.services.credentials import ring
from app.services.installations import remove as remove_installation
from app.services.tasks import LeasedTask
from app.tenancy import PLATFORM_TENANT, scoped

KIND = "erase_tenant"
# So long vendors and their outages are waited for before the access is only forgotten, and not given back.
PATIENCE = timedelta(hours=1)
LIVE = ("waiting", "working")


def request(tenant_id: uuid.UUID, *, typed: str, email: str | None, at_once: bool = False) -> Erasure:
    """Have everything of the bound tenant erased after the grace. `typed` is its name, typed by whoever asks.

    InvalidError when that is another, ConflictError when it is asked for already.
    """
    settings: Settings = current_app.extensions["settings"]
    tenant = _tenant(tenant_id)
    if tenant_id == PLATFORM_TENANT:
        raise ConflictError("This is the platform's own tenant.")
    if typed.strip() != tenant.name:
        raise InvalidError("The name does not fit.", {"name": f"Type {tenant.name} exactly as it stands."})
    if tenant.erase_at is not None:
        raise ConflictError("This has been asked for already.")
    who = audit.current_actor.get().name
    tenant.erase_at = now() + timedelta(days=0 if at_once else settings.erase_grace_days)
    tenant.erase_by = who
    audit.write(
        tenant_id, "tenant.erase_requested", "tenant", str(tenant_id), tenant.name, erase_at=tenant.erase_at.isoformat()
    )
    made = Erasure(
        tenant_id=PLATFORM_TENANT, id=new_id(), subject_id=tenant_id, subject_name=tenant.name,
        external_id=tenant.external_id, requested_name=who, requested_email=email, erase_at=tenant.erase_at,
    )  # fmt: skip
    with bound_meanwhile(PLATFORM_TENANT):
        db.session.add(made)
        db.session.flush()
        tasks.add_task(PLATFORM_TENANT, "sync", KIND, str(tenant_id), ref=tenant_id, due_at=tenant.erase_at)
    return made


def undo(tenant_id: uuid.UUID) -> None:
    """Keep the bound tenant after all. ConflictError once it has begun, or when nothing was asked for."""
    tenant, who = _tenant(tenant_id), audit.current_actor.get().name
    if tenant.erase_at is None:
        raise ConflictError("Nothing is to be erased.")
    with bound_meanwhile(PLATFORM_TENANT):
        found = _live(tenant_id)
        if found is None or found.state != "waiting":
            raise ConflictError("The erasure has begun and cannot be taken back.")
        found.state, found.undone_at, found.undone_name, found.requested_email = "undone", now(), who, None
        db.session.flush()
    tenant.erase_at = tenant.erase_by = None
    audit.write(tenant_id, "tenant.erase_undone", "tenant", str(tenant_id), tenant.name)


def list_erasures(*, limit: int = 50) -> list[Erasure]:
    """Return erasures of all tenants, newest first; the platform's tenant is bound. For operators."""
    return list(db.session.scalars(scoped(Erasure, PLATFORM_TENANT).order_by(Erasure.id.desc()).limit(limit)))


def get_report(erasure_id: uuid.UUID) -> dict[str, Any]:
    """Return the signed report of an erasure that is done, or raise NotFoundError; the platform's tenant is bound."""
    found = db.session.scalar(scoped(Erasure, PLATFORM_TENANT).where(Erasure.id == erasure_id, Erasure.state == "done"))
    if found is None or found.report is None:
        raise NotFoundError("There is no such report.")
    made: dict[str, Any] = orjson.loads(found.report)
    return made


def is_genuine(report: dict[str, Any]) -> bool:
    """Whether this deployment has signed a report, and nobody has changed it since."""
    body = {name: value for name, value in report.items() if name != "signature"}
    signature = report.get("signature")
    return isinstance(signature, dict) and ring().is_signed(_canonical(body), signature)


def begin(tenant_id: uuid.UUID) -> Erasure | datetime | None:
    """Begin, or go on with, the erasure of a tenant; the time when it is due; None when there is none. Workers only.

    From here on it cannot be taken back. The platform's tenant is bound.
    """
    found = _live(tenant_id)
    if found is None:
        return None
    if found.state == "waiting":
        if found.erase_at > now():
            return found.erase_at
        found.state, found.started_at = "working", now()
    return found


def fence(task: LeasedTask) -> None:
    """As tasks.fence(), while the tenant that is erased is bound and the task is the platform's."""
    with bound_meanwhile(PLATFORM_TENANT):
        tasks.fence(task, moved=True)


def keep_people(tenant_id: uuid.UUID) -> None:
    """Remember who belonged to the bound tenant, before nobody does."""
    ids = [
        str(each) for each in db.session.scalars(select(Membership.user_id).where(Membership.tenant_id == tenant_id))
    ]
    with bound_meanwhile(PLATFORM_TENANT):
        found = _get(tenant_id)
        found.people = sorted({*found.people, *ids})
        db.session.flush()


def next_installation(tenant_id: uuid.UUID) -> uuid.UUID | None:
    """Return one of the bound tenant's installations that has not been ended, None when all are."""
    query = select(Installation.id).where(Installation.tenant_id == tenant_id, Installation.state != "removed")
    return db.session.scalar(query.limit(1))


def end_installation(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """End an installation: a worker gives its access back and ends its webhooks at the vendor."""
    remove_installation(tenant_id, installation_id, delete_records=False)


def is_giving_back(tenant_id: uuid.UUID) -> bool:
    """Whether access is still being given back."""
    query = select(Task.id).where(
        Task.tenant_id == tenant_id, Task.kind == "revoke", Task.state.in_(("ready", "leased"))
    )
    return db.session.scalar(query.limit(1)) is not None


def keep_revocations(tenant_id: uuid.UUID) -> None:
    """Write down what became of the access that the bound tenant had given, by outcome."""
    outcome = func.coalesce(Connection.revocation, "not_answered")
    rows = db.session.execute(
        select(outcome, func.count())
        .where(Connection.tenant_id == tenant_id, Connection.connected_by.is_not(None))
        .group_by(outcome)
    )
    counts = {row[0]: row[1] for row in rows}
    with bound_meanwhile(PLATFORM_TENANT):
        found = _get(tenant_id)
        # Once: when this is done again after a lost worker, the connections may be gone.
        if not found.revocations:
            found.revocations = counts
        db.session.flush()


def erase_some(tenant_id: uuid.UUID, table: str) -> int:
    """Delete some rows of one table of the bound tenant and count them, in one transaction; return how many."""
    (chosen,) = [item for item in tenant_tables.all_tables() if item.name == table]
    count = tenant_tables.erase_some(chosen, tenant_id)
    if count:
        _count(tenant_id, table, count)
    return count


def _count(tenant_id: uuid.UUID, table: str, count: int) -> None:
    with bound_meanwhile(PLATFORM_TENANT):
        found = _get(tenant_id)
        found.counts = {**found.counts, table: found.counts.get(table, 0) + count}
        db.session.flush()


def erase_tenant(tenant_id: uuid.UUID) -> None:
    """Delete the row of the bound tenant itself, the last of it."""
    gone = write(delete(Tenant).where(Tenant.id == tenant_id))
    if gone:
        _count(tenant_id, "tenants", gone)


def erase_person(user_id: uuid.UUID) -> bool:
    """Delete the account of the bound user unless they belong to another tenant or to the host's staff."""
    staff = db.session.scalar(select(StaffRole.id).where(StaffRole.user_id == user_id).limit(1))
    if staff is not None or accounts.list_tenants(user_id):
        return False
    return bool(write(delete(User).where(User.id == user_id)))


def is_gone(user_id: uuid.UUID) -> bool:
    """Whether there is no such account any more: a worker that was lost had deleted it."""
    return accounts.find_by_id(user_id) is None


def finish(tenant_id: uuid.UUID, accounts_erased: int) -> None:
    """Write and sign the report, send it to whoever asked, and forget their address. The platform's tenant is bound."""
    found = _get(tenant_id)
    found.finished_at = now()
    body: dict[str, Any] = {
        "what": "erasure of a tenant", "deployment": current_app.extensions["settings"].base_url,
        "tenant": {"id": str(tenant_id), "name": found.subject_name, "external_id": found.external_id},
        "requested": {"by": found.requested_name, "at": found.created_at.isoformat()},
        "begun_at": found.started_at.isoformat() if found.started_at else None,
        "finished_at": found.finished_at.isoformat(),
        "rows_deleted": dict(sorted(found.counts.items())), "rows_deleted_in_all": sum(found.counts.values()),
        "accounts_deleted": accounts_erased, "accounts_kept": len(found.people) - accounts_erased,
        "access_given_back": dict(sorted(found.revocations.items())),
    }  # fmt: skip
    found.report = orjson.dumps({**body, "signature": ring().sign(_canonical(body))}).decode()
    found.state, found.people = "done", []
    audit.write(PLATFORM_TENANT, "tenant.erased", "tenant", str(tenant_id), rows=sum(found.counts.values()))
    if found.requested_email:
        mails.send(
            PLATFORM_TENANT, found.requested_email, f"Everything of {found.subject_name} is erased", "erased",
            name=found.subject_name, rows=sum(found.counts.values()), report=found.report,
        )  # fmt: skip
        found.requested_email = None


def _canonical(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _tenant(tenant_id: uuid.UUID) -> Tenant:
    found = db.session.scalar(select(Tenant).where(Tenant.id == tenant_id).with_for_update())
    if found is None:
        raise NotFoundError("There is no such customer.")
    return found


def _live(tenant_id: uuid.UUID) -> Erasure | None:
    query = scoped(Erasure, PLATFORM_TENANT).where(Erasure.subject_id == tenant_id, Erasure.state.in_(LIVE))
    return db.session.scalar(query.with_for_update().execution_options(populate_existing=True))


def _get(tenant_id: uuid.UUID) -> Erasure:
    found = _live(tenant_id)
    if found is None:
        raise NotFoundError("There is no such erasure.")
    return found
