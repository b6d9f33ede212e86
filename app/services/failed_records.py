"""Records that could not be written, here or at the other side: list them by cause, retry, leave out, and what follows.

What failed on its way in is read again and applied alone; what failed on its way out is planned once more, and what
became of it is written down by whoever sends it.
"""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select, text, update

from app.clock import now
from app.db import db, write
from app.errors import NotFoundError
from app.models.installations import InstallationStream
from app.models.intents import Intent
from app.models.runs import FailedRecord
from app.services import intents, problems, tasks, vendor_hosts
from app.services.page_context import Out
from app.services.page_writes import connection
from app.sync.retry import record_delay
from app.tenancy import scoped

OPEN = ("waiting", "parked")
_OPEN = text("failed_records.state in ('waiting', 'parked')")
IN_DOUBT = "in_doubt"
CAUSES = 100
# More records than this of a stream are left to the full pass that a new mapping brings.
_ALONE = 100


@dataclass(frozen=True)
class Cause:
    """Why records failed, whichever they are."""

    direction: str
    stream: str
    code: str
    field: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The cause as parameters of an address."""
        return asdict(self)

    def condition(self) -> ColumnElement[bool]:
        """What selects its records."""
        return (
            (FailedRecord.direction == self.direction) & (FailedRecord.stream == self.stream)
            & (FailedRecord.code == self.code) & (func.coalesce(FailedRecord.field, "") == self.field)
        )  # fmt: skip


def cause_of(signature: str) -> Cause:
    """Return the cause that the signature of a problem of failed records names."""
    kind, stream, code, name = (signature.split(":", 3) + [""] * 3)[:4]
    return Cause("in" if kind == "records" else "out", stream, code, name)


@dataclass(frozen=True)
class CauseCount:
    """How many records have a cause, what is said of one of them, and when the next is tried again."""

    cause: Cause
    count: int
    message: str
    first_at: datetime
    last_at: datetime
    retry_at: datetime | None


def get_failed_record(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> FailedRecord:
    """Return the failed record or raise NotFoundError."""
    found = db.session.scalar(scoped(FailedRecord, tenant_id).where(FailedRecord.id == failed_id))
    if found is None:
        raise NotFoundError("There is no such record among the failed ones.")
    return found


def list_failed_records(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, *, states: tuple[str, ...] = OPEN, cause: Cause | None = None,
    before: uuid.UUID | None = None, limit: int = 50,
) -> list[FailedRecord]:  # fmt: skip
    """Return failed records, newest first, `limit` at a time; `before` is the id the last page ended with."""
    query = scoped(FailedRecord, tenant_id).where(FailedRecord.installation_id == installation_id)
    # The open ones literally, as the index of causes has them.
    query = query.where(_OPEN if states == OPEN else FailedRecord.state.in_(states))
    if cause:
        query = query.where(cause.condition())
    if before:
        query = query.where(FailedRecord.id < before)
    return list(db.session.scalars(query.order_by(FailedRecord.id.desc()).limit(limit)))


def list_causes(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[CauseCount]:
    """Return why records are open, the most frequent cause first."""
    rows = db.session.execute(_CAUSES, {"tenant": tenant_id, "installation": installation_id, "most": CAUSES})
    return [CauseCount(Cause(*row[:4]), *row[4:]) for row in rows]


# Counted from the index alone (the state is literal, as the index has it); then one of each cause is read for its words.
_CAUSES = text("""
    SELECT c.direction, c.stream, c.code, c.field, c.count, (
        SELECT f.message FROM failed_records f WHERE f.tenant_id = :tenant AND f.id = c.one
    ), c.first_at, c.last_at, c.retry_at FROM (
        SELECT direction, stream, code, coalesce(field, '') AS field, count(*) AS count, max(id::text)::uuid AS one,
            min(created_at) AS first_at, max(last_failed_at) AS last_at, min(retry_at) AS retry_at
        FROM failed_records WHERE tenant_id = :tenant AND installation_id = :installation
        AND state IN ('waiting', 'parked') GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4 LIMIT :most
    ) c ORDER BY c.count DESC, 1, 2, 3, 4
""")


def count_open(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> int:
    """Return how many failed records wait or are parked."""
    query = select(func.count()).where(
        FailedRecord.tenant_id == tenant_id,
        FailedRecord.installation_id == installation_id,
        FailedRecord.state.in_(OPEN),
    )
    return db.session.scalar(query) or 0


def retry(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, failed_id: uuid.UUID | None = None, *, cause: Cause | None = None
) -> int:
    """Have one failed record, all of a cause, or all open ones tried again now; return how many.

    Ignored ones only by name. What may be at the other side already is not sent again by this: see doubts.py.
    """
    which = [FailedRecord.code != IN_DOUBT]
    if failed_id:
        which += [FailedRecord.id == failed_id, FailedRecord.state != "resolved"]
    else:
        which += [FailedRecord.state.in_(OPEN), *([cause.condition()] if cause else [])]
    return _retry(tenant_id, installation_id, *which)


def retry_stream(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> None:
    """The mapping of a stream has changed: what could not be written is tried with the new one.

    Of what comes in, many records are left to the full pass that the new mapping brings: it costs fewer calls.
    """
    open_now = FailedRecord.state.in_(OPEN) & (FailedRecord.stream == stream) & (FailedRecord.code != IN_DOUBT)
    incoming = select(func.count()).where(
        FailedRecord.tenant_id == tenant_id, FailedRecord.installation_id == installation_id, open_now,
        FailedRecord.direction == "in",
    )  # fmt: skip
    few = (db.session.scalar(incoming) or 0) <= _ALONE
    _retry(tenant_id, installation_id, open_now, *([] if few else [FailedRecord.direction == "out"]))


def _retry(tenant_id: uuid.UUID, installation_id: uuid.UUID, *which: ColumnElement[bool]) -> int:
    rows = db.session.execute(
        update(FailedRecord)
        .where(FailedRecord.tenant_id == tenant_id, FailedRecord.installation_id == installation_id, *which)
        .values(state="waiting", tries=1, retry_at=now())
        .returning(FailedRecord.direction, FailedRecord.stream, FailedRecord.record_id),
        execution_options={"synchronize_session": False},
    ).all()
    _plan(tenant_id, installation_id, [(row[1], row[2]) for row in rows if row[0] == "out"])
    if rows:
        queue_retries(tenant_id, installation_id)
    return len(rows)


def _plan(tenant_id: uuid.UUID, installation_id: uuid.UUID, rows: list[tuple[str, uuid.UUID | None]]) -> None:
    outs = [(Out(installation_id, stream), record_id) for stream, record_id in rows if record_id]
    intents.plan(connection(), tenant_id, outs, cause="Tried again", told=0)


def ignore(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> FailedRecord:
    """Leave a failed record out from now on; it is written when it becomes good by itself."""
    failed = get_failed_record(tenant_id, failed_id)
    if failed.state in OPEN:
        failed.state, failed.retry_at = "ignored", None
        db.session.flush()  # The sum below counts it.
        problems.sum_up_failed_records(tenant_id, failed.installation_id)
    return failed


def sum_up(tenant_id: uuid.UUID, installation_id: uuid.UUID, run_id: uuid.UUID | None = None) -> None:
    """Records have failed or been written: bring their problems up to date, and have the next of them retried."""
    problems.sum_up_records(tenant_id, installation_id, run_id)
    queue_retries(tenant_id, installation_id)


def queue_retries(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Wake a worker when the next failed record of the installation is due, if any."""
    query = select(func.min(FailedRecord.retry_at)).where(*_waiting(tenant_id, installation_id))
    due = db.session.scalar(query.where((FailedRecord.direction == "in") | ~_under_way()))
    if due:
        host, due = vendor_hosts.host_of(tenant_id, installation_id), max(due, now())
        tasks.add_task(
            tenant_id, "sync", "retry_records", str(installation_id), ref=installation_id, due_at=due, host=host
        )


def _waiting(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        FailedRecord.tenant_id == tenant_id, FailedRecord.installation_id == installation_id,
        FailedRecord.state == "waiting",
    )  # fmt: skip


def _under_way() -> ColumnElement[bool]:
    """Whether a write of the record is planned or sent already: that brings the next answer."""
    return exists(
        select(Intent.id).where(
            Intent.tenant_id == FailedRecord.tenant_id, Intent.installation_id == FailedRecord.installation_id,
            Intent.stream == FailedRecord.stream, Intent.record_id == FailedRecord.record_id,
            Intent.state.in_(intents.LIVE_STATES),
        )
    )  # fmt: skip


def list_due(tenant_id: uuid.UUID, installation_id: uuid.UUID, limit: int = 25) -> list[FailedRecord]:
    """Return the records that failed on their way in and whose time has come, oldest first."""
    query = scoped(FailedRecord, tenant_id).where(
        *_waiting(tenant_id, installation_id), FailedRecord.direction == "in", FailedRecord.retry_at <= now()
    )
    return list(db.session.scalars(query.order_by(FailedRecord.retry_at, FailedRecord.id).limit(limit)))


def plan_due(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> int:
    """Plan a write of the records that failed on their way out and whose time has come; return how many."""
    rows: list[Any] = list(
        db.session.execute(
            select(FailedRecord.stream, FailedRecord.record_id).where(
                *_waiting(tenant_id, installation_id), FailedRecord.direction == "out", FailedRecord.retry_at <= now(),
                ~_under_way(),
            )
        )
    )  # fmt: skip
    _plan(tenant_id, installation_id, [(row[0], row[1]) for row in rows])
    return len(rows)


def leave_to_pass(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> None:
    """The other side has no call for one record: the next run reads the stream in full, and this one with it."""
    failed = get_failed_record(tenant_id, failed_id)
    failed.retry_at = None
    write(
        update(InstallationStream)
        .where(
            InstallationStream.tenant_id == tenant_id, InstallationStream.stream == failed.stream,
            InstallationStream.installation_id == failed.installation_id,
        )
        .values(full_pass_due=True)
    )  # fmt: skip


def settle_retry(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> None:
    """Count a retry that did not work: later again, or parked. One that worked is resolved already."""
    failed = get_failed_record(tenant_id, failed_id)
    if failed.state != "waiting":
        return
    delay = record_delay(failed.tries)
    failed.tries += 1
    failed.state = "waiting" if delay else "parked"
    failed.retry_at = now() + timedelta(seconds=delay) if delay else None


def resolve(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> None:
    """Nothing is left to write: the record is in sync, gone at the other side, or left out by a filter."""
    failed = get_failed_record(tenant_id, failed_id)
    failed.state, failed.resolved_at, failed.payload_sealed, failed.retry_at = "resolved", now(), None, None
