"""Records that could not be written: list them, retry one or all, ignore, and what happens after a retry."""

import uuid
from datetime import timedelta

from sqlalchemy import func, select, update

from app.clock import now
from app.db import db, write
from app.errors import NotFoundError
from app.models.runs import FailedRecord
from app.services import problems, tasks, vendor_hosts
from app.sync.retry import record_delay
from app.tenancy import scoped

OPEN = ("waiting", "parked")


def get_failed_record(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> FailedRecord:
    """Return the failed record or raise NotFoundError."""
    found = db.session.scalar(scoped(FailedRecord, tenant_id).where(FailedRecord.id == failed_id))
    if found is None:
        raise NotFoundError("There is no such record among the failed ones.")
    return found


def list_failed_records(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, *, states: tuple[str, ...] = OPEN,
    before: uuid.UUID | None = None, limit: int = 50,
) -> list[FailedRecord]:  # fmt: skip
    """Return failed records, newest first, `limit` at a time; `before` is the id the last page ended with."""
    query = scoped(FailedRecord, tenant_id).where(
        FailedRecord.installation_id == installation_id, FailedRecord.state.in_(states)
    )
    if before:
        query = query.where(FailedRecord.id < before)
    return list(db.session.scalars(query.order_by(FailedRecord.id.desc()).limit(limit)))


def count_open(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> int:
    """Return how many failed records wait or are parked."""
    query = select(func.count()).where(
        FailedRecord.tenant_id == tenant_id,
        FailedRecord.installation_id == installation_id,
        FailedRecord.state.in_(OPEN),
    )
    return db.session.scalar(query) or 0


def retry(tenant_id: uuid.UUID, installation_id: uuid.UUID, failed_id: uuid.UUID | None = None) -> int:
    """Have one failed record, or all open ones, tried again now; return how many. Ignored ones only by name."""
    chosen = update(FailedRecord).where(
        FailedRecord.tenant_id == tenant_id, FailedRecord.installation_id == installation_id
    )
    if failed_id:
        chosen = chosen.where(FailedRecord.id == failed_id, FailedRecord.state != "resolved")
    else:
        chosen = chosen.where(FailedRecord.state.in_(OPEN))
    count = write(chosen.values(state="waiting", tries=1, retry_at=now()))
    if count:
        queue_retries(tenant_id, installation_id)
    return count


def ignore(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> FailedRecord:
    """Leave a failed record out from now on; it is written when it becomes good by itself."""
    failed = get_failed_record(tenant_id, failed_id)
    if failed.state in OPEN:
        failed.state, failed.retry_at = "ignored", None
        db.session.flush()  # The sum below counts it.
        problems.sum_up_failed_records(tenant_id, failed.installation_id)
    return failed


def queue_retries(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Wake a worker when the next failed record of the installation is due, if any."""
    due = db.session.scalar(
        select(func.min(FailedRecord.retry_at)).where(
            FailedRecord.tenant_id == tenant_id,
            FailedRecord.installation_id == installation_id,
            FailedRecord.state == "waiting",
        )
    )
    if due:
        host, due = vendor_hosts.host_of(tenant_id, installation_id), max(due, now())
        tasks.add_task(
            tenant_id, "sync", "retry_records", str(installation_id), ref=installation_id, due_at=due, host=host
        )


def list_due(tenant_id: uuid.UUID, installation_id: uuid.UUID, limit: int = 25) -> list[FailedRecord]:
    """Return the failed records whose time has come, oldest first."""
    query = scoped(FailedRecord, tenant_id).where(
        FailedRecord.installation_id == installation_id,
        FailedRecord.state == "waiting",
        FailedRecord.retry_at <= now(),
    )
    return list(db.session.scalars(query.order_by(FailedRecord.retry_at, FailedRecord.id).limit(limit)))


def settle_retry(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> None:
    """Count a retry that did not work: later again, or parked. One that worked is resolved already."""
    failed = get_failed_record(tenant_id, failed_id)
    if failed.state != "waiting":
        return
    delay = record_delay(failed.tries)
    failed.tries += 1
    failed.state = "waiting" if delay else "parked"
    failed.retry_at = now() + timedelta(seconds=delay) if delay else None


def resolve_gone(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> None:
    """The record no longer exists at the other side: nothing is left to write."""
    failed = get_failed_record(tenant_id, failed_id)
    failed.state, failed.resolved_at, failed.payload_sealed, failed.retry_at = "resolved", now(), None, None
