"""Problems: what someone must act on. Equal errors are one problem; a real call that works closes it."""

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.db import db
from app.errors import NotFoundError
from app.ids import new_id
from app.models.runs import Conflict, FailedRecord, Problem
from app.services import conflict_ends, fleet
from app.sync.proofs import BY_TEST, NOT_BY_RUN, SENTENCES, Proof
from app.tenancy import scoped

_OPEN = Problem.state == "open"
# Literal, as the index has it: with bound values the plan PostgreSQL keeps from the tenth use on finds no such index.
_OPEN_INDEX = text("state = 'open'")
_OPEN_ROWS = text("problems.state = 'open'")
# Where a list of open problems goes on: what the last one shown is ordered by.
Position = tuple[bool, datetime, uuid.UUID]


def open_problem(
    tenant_id: uuid.UUID,
    installation_id: uuid.UUID,
    code: str,
    message: str,
    fix: str,
    *,
    signature: str | None = None,
    detail: str = "",
    count: int | None = None,
    run_id: uuid.UUID | None = None,
    stops_sync: bool = False,
    seen_at: datetime | None = None,
) -> bool:
    """Open a problem, or count one more of an open one with the same signature (`count` sets it instead).

    Return whether it is a new one. `seen_at` is when it was met last, now unless it is told.
    """
    row: dict[str, Any] = {
        "tenant_id": tenant_id, "id": new_id(), "installation_id": installation_id, "signature": signature or code,
        "code": code, "message": message, "fix": fix, "detail": detail[:2000], "count": count or 1, "run_id": run_id,
        "stops_sync": stops_sync, "created_at": now(), "last_seen_at": seen_at or now(),
    }  # fmt: skip
    fleet.touch(tenant_id, installation_id)
    statement = insert(Problem).values(row)
    fresh = {name: statement.excluded[name] for name in ("message", "fix", "detail", "run_id", "last_seen_at")}
    counted = statement.excluded["count"] if count else Problem.count + 1
    kept = db.session.scalar(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "installation_id", "signature"],
            index_where=_OPEN_INDEX,
            set_={**fresh, "count": counted, "stops_sync": statement.excluded["stops_sync"]},
        ).returning(Problem.id)
    )
    return kept == row["id"]


def close(tenant_id: uuid.UUID, installation_id: uuid.UUID, code: str, *, by: Proof) -> None:
    """Close the open problems of one code; `by` says what has proved that they are solved."""
    _close(tenant_id, installation_id, Problem.code == code, by)


def close_run_problems(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, but: Collection[str] = ()) -> None:
    """A run has worked to its end: close what a run can prove, but for signatures of `but`."""
    _close(tenant_id, installation_id, Problem.code.not_in(NOT_BY_RUN) & Problem.signature.not_in(but), "run")


def close_tested(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """A test of the connection has succeeded: close what it proves."""
    _close(tenant_id, installation_id, Problem.code.in_(BY_TEST) & Problem.stops_sync, "test")


def close_streams(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, streams: Collection[str], *, by: Proof = "stream"
) -> None:
    """Close what is open about single streams: they have been read, or their trouble is that of the whole run now."""
    _close_found(tenant_id, installation_id, [stream_signature(stream) for stream in streams], by)


def close_written(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> None:
    """The other side has accepted a write to a stream: it is not forbidden any more."""
    _close_found(tenant_id, installation_id, [write_signature(stream), write_signature("")], "write")


def close_signature(tenant_id: uuid.UUID, installation_id: uuid.UUID, signature: str, *, by: Proof = "decided") -> None:
    """Close the open problem of one signature."""
    _close(tenant_id, installation_id, Problem.signature == signature, by)


def stream_signature(stream: str) -> str:
    """Return the signature of the problem that one stream may not be read."""
    return f"permission_missing:{stream}"


def write_signature(stream: str) -> str:
    """Return the signature of the problem that a stream may not be written to; which one may not be known."""
    return f"write_forbidden:{stream}" if stream else "write_forbidden"


def close_all(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """The installation is gone: nothing is left to act on."""
    _close(tenant_id, installation_id, Problem.state == "open", "removed")


def _close_found(tenant_id: uuid.UUID, installation_id: uuid.UUID, signatures: list[str], by: Proof) -> None:
    # Looked for first: hardly ever is there one, and closing writes the status of the installation anew.
    about = Problem.signature.in_(signatures)
    mine = (Problem.tenant_id == tenant_id, Problem.installation_id == installation_id)
    if db.session.scalar(select(Problem.id).where(*mine, _OPEN, about).limit(1)) is not None:
        _close(tenant_id, installation_id, about, by)


def _close(tenant_id: uuid.UUID, installation_id: uuid.UUID, condition: Any, by: Proof) -> None:
    fleet.touch(tenant_id, installation_id)
    db.session.execute(
        update(Problem)
        .where(Problem.tenant_id == tenant_id, Problem.installation_id == installation_id, _OPEN, condition)
        .values(state="closed", closed_at=now(), closed_by=SENTENCES[by])
    )


def sum_up_records(tenant_id: uuid.UUID, installation_id: uuid.UUID, run_id: uuid.UUID | None = None) -> None:
    """Bring the problems about single records up to date: those that failed and those in conflict."""
    sum_up_failed_records(tenant_id, installation_id, run_id)
    sum_up_conflicts(tenant_id, installation_id, run_id)


def sum_up_failed_records(tenant_id: uuid.UUID, installation_id: uuid.UUID, run_id: uuid.UUID | None = None) -> None:
    """Make one problem of each cause of failed records, with its count; close those whose records are all settled."""
    groups = db.session.execute(
        select(
            FailedRecord.direction,
            FailedRecord.stream,
            FailedRecord.code,
            FailedRecord.field,
            func.count(),
            func.min(FailedRecord.message),
            func.max(FailedRecord.last_failed_at),
        )
        .where(
            FailedRecord.tenant_id == tenant_id,
            FailedRecord.installation_id == installation_id,
            FailedRecord.state.in_(("waiting", "parked")),
        )
        .group_by(FailedRecord.direction, FailedRecord.stream, FailedRecord.code, FailedRecord.field)
    ).all()
    signatures = []
    for direction, stream, code, field, count, message, seen_at in groups:
        signature = f"{'records' if direction == 'in' else 'records_out'}:{stream}:{code}:{field or ''}"
        signatures.append(signature)
        number = f"{count:,} record{'s' if count != 1 else ''} of {stream}: "
        open_problem(
            tenant_id, installation_id, "records_refused", number + message,
            "Correct the value where it comes from, or change the mapping, then retry these records.",
            signature=signature, count=count, run_id=run_id, seen_at=seen_at,
        )  # fmt: skip
    _close(
        tenant_id,
        installation_id,
        (Problem.code == "records_refused") & Problem.signature.not_in(signatures),
        "settled",
    )


def sum_up_conflicts(tenant_id: uuid.UUID, installation_id: uuid.UUID, run_id: uuid.UUID | None = None) -> None:
    """Make one problem of the open conflicts of each stream, with their count; close those that have none any more."""
    conflict_ends.sweep(tenant_id, installation_id)
    groups = db.session.execute(
        select(Conflict.stream, func.count(), func.max(Conflict.created_at))
        .where(Conflict.tenant_id == tenant_id, Conflict.installation_id == installation_id, Conflict.state == "open")
        .group_by(Conflict.stream)
    ).all()
    for stream, count, seen_at in groups:
        open_problem(
            tenant_id, installation_id, "conflicts_open",
            f"{count:,} records of {stream} wait for a decision"
            if count > 1
            else f"1 record of {stream} waits for a decision",
            "Choose a value for each. Until then each product keeps its own.",
            signature=f"conflicts:{stream}", count=count, run_id=run_id, seen_at=seen_at,
        )  # fmt: skip
    mine = (Problem.tenant_id == tenant_id, Problem.installation_id == installation_id)
    settled = (Problem.code == "conflicts_open") & Problem.signature.not_in([f"conflicts:{row[0]}" for row in groups])
    # Looked for first, as above.
    if db.session.scalar(select(Problem.id).where(*mine, _OPEN, settled).limit(1)) is not None:
        _close(tenant_id, installation_id, settled, "settled")


def list_open(
    tenant_id: uuid.UUID, installation_id: uuid.UUID | None = None, *, before: Position | None = None, limit: int = 200
) -> list[Problem]:
    """Return the open problems, those that stop the sync first; `before` is where the last page ended."""
    order = (Problem.stops_sync, Problem.last_seen_at, Problem.id)
    query = scoped(Problem, tenant_id).where(_OPEN_ROWS).order_by(*(column.desc() for column in order))
    if installation_id:
        query = query.where(Problem.installation_id == installation_id)
    if before:
        query = query.where(tuple_(*order) < before)
    return list(db.session.scalars(query.limit(limit)))


def list_closed(
    tenant_id: uuid.UUID, installation_id: uuid.UUID | None = None, *, before: uuid.UUID | None = None, limit: int = 50
) -> list[Problem]:
    """Return the problems that are solved, newest first; `before` is the id the last page ended with."""
    query = scoped(Problem, tenant_id).where(Problem.state == "closed")
    if installation_id:
        query = query.where(Problem.installation_id == installation_id)
    if before:
        query = query.where(Problem.id < before)
    return list(db.session.scalars(query.order_by(Problem.id.desc()).limit(limit)))


def count_open(tenant_id: uuid.UUID) -> int:
    """Return how many problems are open."""
    return db.session.scalar(select(func.count(Problem.id)).where(Problem.tenant_id == tenant_id, _OPEN_ROWS)) or 0


def get_problem(tenant_id: uuid.UUID, problem_id: uuid.UUID) -> Problem:
    """Return the problem or raise NotFoundError."""
    found = db.session.scalar(scoped(Problem, tenant_id).where(Problem.id == problem_id))
    if found is None:
        raise NotFoundError("There is no such problem.")
    return found
