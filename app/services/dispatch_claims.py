"""Dispatches for the worker that sends them: claimed before each try and settled after it, some at a time.

A try is on record before it is made. When its worker is lost, the next one sends the same message once more under the
same id: at least once, never not at all.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from app.arrays import texts, uuids
from app.clock import now
from app.db import db
from app.ids import raw_ids
from app.models.events import Dispatch, Subscription
from app.services import subscription_notices, subscriptions
from app.services.page_writes import Raw, connection
from app.sync.attempts import Verdict, is_given_up, next_delay
from app.sync.breaker import Breaker, Outcome, admit, give_back, record
from app.tenancy import scoped

LOST = "The worker that sent it was lost. Whether it has arrived is not known, so it is sent again."
_RESPONSE = 1024
# Of a subscription that was switched off meanwhile nothing waits any more.
_BACK = (
    "CASE WHEN EXISTS (SELECT FROM subscriptions s WHERE s.tenant_id = d.tenant_id AND s.id = d.subscription_id "
    "AND s.state = 'active') THEN 'pending' ELSE 'failed' END"
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A dispatch that is about to be sent: its `tries` with this one, and the row of the try."""

    id: uuid.UUID
    attempt_id: uuid.UUID
    subscription_id: uuid.UUID
    event_id: uuid.UUID
    tries: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What a try has come to."""

    claimed: Claimed
    verdict: Verdict
    outcome: Outcome
    ms: int
    status: int | None = None
    response: str = ""


def recover(tenant_id: uuid.UUID) -> None:
    """Make due again what a lost worker was sending. Only one worker sends for a tenant, so all of it is its own."""
    sql = connection()
    sql.execute(
        f"WITH lost AS (UPDATE dispatches d SET state = {_BACK}, tries = greatest(tries - 1, 0), due_at = %b "  # noqa: S608  # constants only
        "WHERE tenant_id = %b AND state = 'sending' RETURNING id) UPDATE attempts a SET outcome = 'lost', error = %b, "
        "next_at = %b FROM lost WHERE a.tenant_id = %b AND a.dispatch_id = lost.id AND a.outcome = 'sending'",
        (now(), tenant_id, LOST, now(), tenant_id),
    )


def list_due(tenant_id: uuid.UUID) -> list[Subscription]:
    """Return the subscriptions that something is due for, as far as their endpoints may be called now."""
    waiting = select(Dispatch.id).where(
        Dispatch.tenant_id == tenant_id, Dispatch.subscription_id == Subscription.id, Dispatch.state == "pending",
        Dispatch.due_at <= now(),
    )  # fmt: skip
    query = scoped(Subscription, tenant_id).where(
        Subscription.state == "active",
        Subscription.not_before.is_(None) | (Subscription.not_before <= now()),
        waiting.limit(1).exists(),
    )
    return list(db.session.scalars(query.order_by(Subscription.id).execution_options(populate_existing=True)))


def may_call(subscription: Subscription, holder: uuid.UUID) -> bool:
    """Whether the endpoint's breaker lets `holder` call; one that was open gives it the one probe."""
    before = breaker_of(subscription)
    if before.state == "closed":
        return True
    after, answer = admit(before, now(), holder, seed=str(subscription.id))
    if after != before:
        subscription.breaker = _as_json(after)
    return answer.go


def claim(tenant_id: uuid.UUID, wanted: Mapping[uuid.UUID, int]) -> list[Claimed]:
    """Claim up to so many due dispatches of each subscription, and write the row of each try."""
    if not wanted:
        return []
    db.session.flush()  # The probes that were given out: subscriptions are locked before their dispatches.
    sql = connection()
    rows = sql.execute(
        "WITH found AS MATERIALIZED (SELECT d.id FROM unnest(%b::uuid[], %b::text[]) AS t(s, n), LATERAL (SELECT id "
        "FROM dispatches WHERE tenant_id = %b AND subscription_id = t.s AND state = 'pending' AND due_at <= %b "
        "ORDER BY due_at, id LIMIT t.n::int FOR NO KEY UPDATE SKIP LOCKED) AS d) "
        "UPDATE dispatches d SET state = 'sending', tries = d.tries + 1, attempts = d.attempts + 1 FROM found "
        "WHERE d.tenant_id = %b AND d.id = found.id RETURNING d.id, d.subscription_id, d.event_id, d.tries, d.body, "
        "d.attempts",
        (uuids(list(wanted)), texts([str(n) for n in wanted.values()]), tenant_id, now(), tenant_id),
        binary=True,
    ).fetchall()
    rows.sort(key=lambda row: row[0])
    ids = raw_ids(len(rows))
    if rows:
        sql.execute(
            "INSERT INTO attempts (tenant_id, id, dispatch_id, number, created_at) SELECT %b, i, d, n::int, %b "
            "FROM unnest(%b::uuid[], %b::uuid[], %b::text[]) AS t(i, d, n)",
            (tenant_id, now(), uuids(ids), uuids([row[0] for row in rows]), texts([str(row[5]) for row in rows])),
        )
    return [
        Claimed(row[0], uuid.UUID(bytes=raw), row[1], row[2], row[3], row[4])
        for row, raw in zip(rows, ids, strict=True)
    ]


def release(tenant_id: uuid.UUID, claims: Sequence[Claimed]) -> None:
    """Put back what was claimed and not sent, as if it had not been."""
    if not claims:
        return
    sql = connection()
    sql.execute(
        "DELETE FROM attempts WHERE tenant_id = %b AND id = ANY(%b)",
        (tenant_id, uuids([claimed.attempt_id for claimed in claims])),
    )
    sql.execute(
        f"UPDATE dispatches d SET state = {_BACK}, tries = tries - 1, attempts = attempts - 1 WHERE tenant_id = %b "  # noqa: S608  # constants only
        "AND id = ANY(%b) AND state = 'sending'",
        (tenant_id, uuids([claimed.id for claimed in claims])),
    )


@dataclass(frozen=True)
class Settled:
    """Subscriptions that are not to be called for now, and those that are to be given up, with the reason."""

    stopped: set[uuid.UUID] = field(default_factory=set)
    given_up: dict[uuid.UUID, str] = field(default_factory=dict)


def settle(tenant_id: uuid.UUID, results: Sequence[Result], holder: uuid.UUID) -> Settled:
    """Write what tries have come to. What is to be given up is for `give_up`, in a transaction of its own."""
    if not results:
        return Settled()
    known = _lock(tenant_id, {result.claimed.subscription_id for result in results})
    rows = [_settle(known[result.claimed.subscription_id], result, holder) for result in results]
    db.session.flush()
    _write(connection(), tenant_id, rows)
    given_up = {row.id: "failing" for row in known.values() if is_given_up(row.failing_since, now())}
    given_up |= {r.claimed.subscription_id: "gone" for r in results if r.verdict.kind == "gone"}
    stopped = {row.id for row in known.values() if row.state != "active" or row.not_before or row.breaker}
    return Settled(stopped | set(given_up), given_up)


def _lock(tenant_id: uuid.UUID, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Subscription]:
    # Not against the fan-out, whose dispatches refer to them: it waits for the task that we hold.
    query = scoped(Subscription, tenant_id).where(Subscription.id.in_(ids)).order_by(Subscription.id)
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return {row.id: row for row in db.session.scalars(locked)}


def give_up(tenant_id: uuid.UUID, codes: Mapping[uuid.UUID, str]) -> None:
    """Switch subscriptions off and tell whoever can put that right.

    Without the fence: other subscriptions hear of it, and that wakes the fan-out, which wakes us.
    """
    for row in _lock(tenant_id, codes).values():
        if row.state == "active":
            subscriptions.switch_off(row, codes[row.id])
            subscription_notices.tell(row)


@dataclass(frozen=True, slots=True)
class _Row:
    result: Result
    state: str
    error: str
    due_at: datetime | None


def _settle(subscription: Subscription, result: Result, holder: uuid.UUID) -> _Row:
    verdict, at = result.verdict, now()
    before = breaker_of(subscription)
    after = record(before, [result.outcome], at, holder, seed=str(subscription.id))
    if after.state != "closed" or after.failures_in_row or subscription.breaker:
        subscription.breaker = _as_json(after) if after.state != "closed" or after.failures_in_row else None
    if verdict.kind == "delivered":
        subscription.failing_since, subscription.delivered_at, subscription.not_before = None, at, None
        return _Row(result, "delivered", "", None)
    subscription.failing_since = subscription.failing_since or at
    if verdict.pause is not None:
        subscription.not_before = max(subscription.not_before or at, at + timedelta(seconds=verdict.pause))
    delay = next_delay(result.claimed.tries, seed=str(result.claimed.id))
    if subscription.state != "active" or verdict.kind == "gone" or is_given_up(subscription.failing_since, at):
        return _Row(result, "failed", verdict.error, None)
    if delay is None:
        return _Row(result, "failed", f"{verdict.error} All {result.claimed.tries} attempts are used.", None)
    return _Row(result, "pending", verdict.error, at + timedelta(seconds=max(delay, verdict.pause or 0)))


def _write(sql: Raw, tenant_id: uuid.UUID, rows: Sequence[_Row]) -> None:
    due = [row.due_at.isoformat() if row.due_at else "" for row in rows]
    status = ["" if row.result.status is None else str(row.result.status) for row in rows]
    sql.execute(
        "UPDATE dispatches d SET state = t.s, due_at = coalesce(nullif(t.u, '')::timestamptz, d.due_at), "
        "status = nullif(t.c, '')::int, error = nullif(t.e, ''), "
        "finished_at = CASE WHEN t.s <> 'pending' THEN %b::timestamptz END "
        "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[]) AS t(i, s, u, c, e) "
        "WHERE d.tenant_id = %b AND d.id = t.i AND d.state = 'sending'",
        (
            now(), uuids([row.result.claimed.id for row in rows]), texts([row.state for row in rows]), texts(due),
            texts(status), texts([row.error for row in rows]), tenant_id,
        ),
    )  # fmt: skip
    outcomes = ["delivered" if row.result.verdict.kind == "delivered" else "failed" for row in rows]
    sql.execute(
        "UPDATE attempts a SET outcome = t.o, ms = t.m::int, status = nullif(t.c, '')::int, error = nullif(t.e, ''), "
        "response = nullif(t.r, ''), next_at = nullif(t.u, '')::timestamptz FROM unnest(%b::uuid[], %b::text[], "
        "%b::text[], %b::text[], %b::text[], %b::text[], %b::text[]) AS t(i, o, m, c, e, r, u) "
        "WHERE a.tenant_id = %b AND a.id = t.i",
        (
            uuids([row.result.claimed.attempt_id for row in rows]), texts(outcomes),
            texts([str(row.result.ms) for row in rows]), texts(status), texts([row.error for row in rows]),
            texts([row.result.response[:_RESPONSE] for row in rows]), texts(due), tenant_id,
        ),
    )  # fmt: skip


def give_probes_back(tenant_id: uuid.UUID, holder: uuid.UUID) -> None:
    """Let others probe what `holder` was allowed to and has not."""
    query = scoped(Subscription, tenant_id).where(Subscription.breaker.is_not(None)).with_for_update(key_share=True)
    for row in db.session.scalars(query.order_by(Subscription.id).execution_options(populate_existing=True)):
        before = breaker_of(row)
        if (after := give_back(before, holder)) != before:
            row.breaker = _as_json(after)


def next_due(tenant_id: uuid.UUID) -> datetime | None:
    """Return when something is to be sent next, None when nothing waits."""
    moments = []
    for row in db.session.scalars(scoped(Subscription, tenant_id).where(Subscription.state == "active")):
        first = db.session.scalar(
            select(Dispatch.due_at)
            .where(Dispatch.tenant_id == tenant_id, Dispatch.subscription_id == row.id, Dispatch.state == "pending")
            .order_by(Dispatch.due_at)
            .limit(1)
        )
        if first is not None:
            moments.append(max(first, row.not_before or first, breaker_of(row).open_until or first))
    return min(moments, default=None)


_MOMENTS, _STATE = ("window_at", "open_until", "probe_until"), tuple(item.name for item in fields(Breaker))


def breaker_of(subscription: Subscription) -> Breaker:
    """Return the breaker of a subscription's endpoint."""
    values: dict[str, Any] = dict(subscription.breaker or {})
    for name in _MOMENTS:
        values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
    values["probe"] = uuid.UUID(values["probe"]) if values.get("probe") else None
    return Breaker(**{name: values[name] for name in _STATE if name in values})


def _as_json(breaker: Breaker) -> dict[str, Any]:
    values = {name: value for name, value in asdict(breaker).items() if value is not None}
    return {name: value if isinstance(value, str | int) else str(value) for name, value in values.items()}
