"""A decision carried over to similar conflicts: some at once, the rest by a task, so that none is left out silently."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update

from app.clock import now
from app.db import db, write
from app.errors import ConflictError
from app.models.accounts import User
from app.models.records import Record
from app.models.runs import Conflict
from app.services import audit, conflicts, problems, record_edits, tasks
from app.services.conflict_decisions import By, Decided, write_decisions
from app.services.conflict_records import act
from app.services.page_context import Out
from app.tenancy import scoped

BATCH = 1000
# Seconds that the task leaves to the page on which it was decided.
_PATIENCE = 5


def carry_over(tenant_id: uuid.UUID, conflict: Conflict, *, same: bool) -> None:
    """Have what is similar to a conflict just settled follow its decision; `same`: only where theirs is equal too.

    Call it in the decision's transaction and `go_on` in one after it, whose answer a person waits for; a task does
    what is left. ConflictError where nothing was decided that others could follow.
    """
    if conflict.state != "settled" or not may_carry_over(conflict.choices) or conflict.resolution == "policy":
        raise ConflictError("Nothing has been decided here that others could follow.", code="conflict_open")
    conflict.similar = {"same": same}
    due = now() + timedelta(seconds=_PATIENCE)
    tasks.add_task(tenant_id, "sync", "settle_conflicts", str(conflict.id), ref=conflict.id, due_at=due)


def go_on(tenant_id: uuid.UUID, conflict_id: uuid.UUID, *, limit: int = BATCH) -> bool:
    """Settle up to `limit` of what is to follow a decision; return whether there is more to do.

    A decision that was taken back meanwhile is not followed any further.
    """
    conflict = conflicts.get_conflict(tenant_id, conflict_id)
    if conflict.state != "settled" or conflict.similar is None:
        return False
    name = db.session.scalar(select(User.name).where(User.id == conflict.settled_by)) if conflict.settled_by else None
    _settle_some(tenant_id, conflict, By(conflict.settled_by, name or "Somebody"), limit)
    return remaining(tenant_id, conflict) > 0


def _settle_some(tenant_id: uuid.UUID, conflict: Conflict, by: By, limit: int) -> None:
    ahead = scoped(Conflict, tenant_id).where(*_ahead(conflict)).order_by(Conflict.id)
    wanted = dict(db.session.execute(ahead.with_only_columns(Conflict.id, Conflict.record_id).limit(limit)).all())
    records = record_edits.hold(tenant_id, [record_id for record_id in wanted.values() if record_id])
    columns = (Conflict.id, Conflict.external_id, Conflict.record_id, Conflict.theirs)
    chosen = ahead.where(Conflict.id.in_(list(wanted))).with_only_columns(*columns)
    held = db.session.execute(chosen.with_for_update()).all()
    live = [row for row in held if row[2] in records and records[row[2]].deleted_at is None]
    _end_gone(tenant_id, {row[0] for row in held} - {row[0] for row in live})
    if live:
        _decide(tenant_id, conflict, live, records, by)
        audit.write(
            tenant_id, "conflict.settled_similar", "conflict", str(conflict.id), actor=audit.Actor(by.id, by.name),
            installation_id=conflict.installation_id, count=len(live), choices=conflict.choices,
        )  # fmt: skip
    problems.sum_up_conflicts(tenant_id, conflict.installation_id)


def _ahead(conflict: Conflict) -> list[Any]:
    """What was open already when it was decided: what comes later is asked about."""
    same = bool((conflict.similar or {}).get("same"))
    return [
        conflicts.SHOWN["open"],
        *conflicts.is_similar(conflict, same=same),
        Conflict.created_at <= conflict.settled_at,
    ]


def _end_gone(tenant_id: uuid.UUID, ids: set[uuid.UUID]) -> None:
    if ids:
        ended = update(Conflict).where(Conflict.tenant_id == tenant_id, Conflict.id.in_(ids))
        write(ended.values(state="settled", resolution="gone", settled_at=func.now()))


def _decide(
    tenant_id: uuid.UUID, conflict: Conflict, rows: Sequence[Any], records: dict[uuid.UUID, Record], by: By
) -> None:
    place = Out(conflict.installation_id, conflict.stream)
    if conflict.kind != "fields":
        settled = update(Conflict).where(Conflict.tenant_id == tenant_id, Conflict.id.in_([row[0] for row in rows]))
        write(
            settled.values(
                state="settled", resolution=conflict.resolution, choices=conflict.choices, settled_at=func.now(),
                settled_by=by.id, decided_with=conflict.id,
            )
        )  # fmt: skip
        answer: Any = conflict.choices["record"]
        act(tenant_id, place, list({row[2]: records[row[2]] for row in rows}.values()), answer, by)
        return
    decided = []
    for conflict_id, external_id, record_id, theirs in rows:
        ours = {name: records[record_id].data.get(name) for name in theirs}
        # The value last agreed on is each one's own: it is not carried over.
        sides = {"theirs": theirs, "ours": ours, "edited": conflict.edited}
        values = {name: sides[side].get(name) for name, side in conflict.choices.items()}
        decided.append(Decided(conflict_id, external_id, record_id, theirs, ours, values))
    write_decisions(tenant_id, place, decided, conflict.choices, conflict.edited, by=by, leader=conflict.id)


def may_carry_over(choices: Mapping[str, str]) -> bool:
    """Whether a decision means the same for other records: what was last agreed on is another value for each."""
    return bool(choices) and "base" not in choices.values()


def remaining(tenant_id: uuid.UUID, conflict: Conflict) -> int:
    """Return how many are still to follow the decision in this conflict, counted up to COUNT_LIMIT + 1."""
    if conflict.similar is None:
        return 0
    some = scoped(Conflict, tenant_id).where(*_ahead(conflict)).with_only_columns(Conflict.id)
    inner = some.limit(conflicts.COUNT_LIMIT + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(inner)) or 0


@dataclass(frozen=True)
class Carried:
    """How far a decision has come: the conflict it was made in, how many have followed it and how many still will."""

    conflict: Conflict
    followers: int
    remaining: int


def sum_up(tenant_id: uuid.UUID, conflict_id: uuid.UUID) -> Carried:
    """Return how far the decision in a conflict has come, or raise NotFoundError."""
    conflict = conflicts.get_conflict(tenant_id, conflict_id)
    return Carried(conflict, _count_followers(tenant_id, conflict), remaining(tenant_id, conflict))


def _count_followers(tenant_id: uuid.UUID, conflict: Conflict) -> int:
    some = scoped(Conflict, tenant_id).where(Conflict.decided_with == conflict.id).with_only_columns(Conflict.id)
    return db.session.scalar(select(func.count()).select_from(some.limit(conflicts.COUNT_LIMIT + 1).subquery())) or 0
