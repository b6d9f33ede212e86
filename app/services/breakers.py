"""Circuit breakers in PostgreSQL: all workers see the same, and it outlives Redis. What they do is app/sync/breaker.py."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from app.db import db, write
from app.ids import new_id
from app.models.breakers import BreakerRow
from app.sync.breaker import Admission, Breaker, Outcome, admit, give_back, record

_PLACE = tuple_(BreakerRow.kind, BreakerRow.key)
_STATE = tuple(field.name for field in fields(Breaker))
# By PostgreSQL's clock: those of the workers may differ.
_CLOCK = func.clock_timestamp()
_IDLE = timedelta(days=7)


class Key(NamedTuple):
    """Which breaker: `kind` host (`key` is its name and port) or connection (its id)."""

    kind: str
    key: str


Breakers = Mapping[Key, Breaker]


def enter(keys: Sequence[Key], holder: uuid.UUID, *, retry: bool = False) -> tuple[Admission, Breakers]:
    """Return whether `holder` may call, which all of the breakers must let it, and the breakers after that.

    It holds the probe of those that were open. `retry` counts against the budget of repeated calls of the first.
    """
    rows = db.session.scalars(select(BreakerRow).where(_PLACE.in_(keys)))
    found = {Key(row.kind, row.key): _breaker(row) for row in rows}
    known = {key: found.get(key, Breaker()) for key in keys}
    if not retry and all(breaker.state == "closed" for breaker in known.values()):
        return Admission(True), known
    before, at = _lock(keys)
    answers = {
        key: admit(before[key], at, holder, retry=retry and key == keys[0], seed=str(holder)) for key in keys
    }  # fmt: skip
    refused = [answer for _, answer in answers.values() if not answer.go]
    if refused:
        return max(refused, key=lambda answer: answer.wait), before
    after = {key: breaker for key, (breaker, _) in answers.items()}
    _store(before, after)
    return Admission(True), after


def record_calls(calls: Mapping[Key, Iterable[Outcome]], holder: uuid.UUID, *, over: bool = True) -> Breakers:
    """Count what the calls of `holder` have come to, oldest first; return the breakers after that.

    When its work is `over` it gives back the probes it has not used.
    """
    before, at = _lock(list(calls))
    after = {key: record(before[key], outcomes, at, holder, seed=key.key) for key, outcomes in calls.items()}
    if over:
        after = {key: give_back(breaker, holder) for key, breaker in after.items()}
    _store(before, after)
    return after


def forget(key: Key) -> None:
    """Begin anew: what was counted is about something else, or a test has just shown that it works."""
    write(delete(BreakerRow).where(BreakerRow.kind == key.kind, BreakerRow.key == key.key))


def list_open_hosts() -> list[BreakerRow]:
    """Return the vendor hosts that are not called at the moment, those that have been down the longest first."""
    query = select(BreakerRow).where(BreakerRow.kind == "host", BreakerRow.state != "closed")
    return list(db.session.scalars(query.order_by(BreakerRow.opens_in_row.desc(), BreakerRow.key).limit(20)))


def prune() -> int:
    """Delete the breakers of hosts and connections that nobody has called for a week; return how many went."""
    return write(delete(BreakerRow).where(BreakerRow.updated_at < _CLOCK - _IDLE))


def _breaker(row: BreakerRow) -> Breaker:
    return Breaker(**{name: getattr(row, name) for name in _STATE})


def _lock(keys: Iterable[Key]) -> tuple[dict[Key, Breaker], datetime]:
    """Lock these breakers, made where there are none, always in the same order; return them and the time."""
    rows = [{"kind": key.kind, "key": key.key, "id": new_id()} for key in sorted(keys)]
    statement = insert(BreakerRow).values(rows)
    locked = statement.on_conflict_do_update(index_elements=["kind", "key"], set_={"updated_at": _CLOCK})
    columns = [getattr(BreakerRow, name) for name in ("kind", "key", *_STATE)]
    found = db.session.execute(locked.returning(_CLOCK, *columns)).all()
    return {Key(row[1], row[2]): Breaker(*row[3:]) for row in found}, max(row[0] for row in found)


def _store(before: Breakers, after: Breakers) -> None:
    changed = [key for key, breaker in after.items() if breaker != before[key]]
    if not changed:
        return
    rows = [{"kind": key.kind, "key": key.key, "id": new_id(), **asdict(after[key])} for key in changed]
    statement = insert(BreakerRow).values(rows)
    fresh = {name: statement.excluded[name] for name in _STATE}
    db.session.execute(statement.on_conflict_do_update(index_elements=["kind", "key"], set_=fresh))
