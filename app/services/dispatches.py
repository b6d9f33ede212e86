"""The dispatch log: what was sent to a subscription and what came of each try; sending again, with the count first."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from app.arrays import uuids
from app.clock import now
from app.db import db, write
from app.errors import NotFoundError
from app.models.events import Attempt, Dispatch
from app.services import audit, fan_out, subscriptions
from app.services.page_writes import connection
from app.tenancy import scoped

STATES = ("pending", "sending", "delivered", "failed")
_OVER = ("delivered", "failed")


@dataclass(frozen=True)
class Selection:
    """Which dispatches of a subscription are meant: those that are over, narrowed by what is given.

    `since` and `until` are about when the event was handed on; `ids` names single ones.
    """

    state: str = "failed"
    since: datetime | None = None
    until: datetime | None = None
    type: str = ""
    ids: tuple[uuid.UUID, ...] = ()


def list_dispatches(
    tenant_id: uuid.UUID, subscription_id: uuid.UUID, *, state: str = "", type: str = "",
    before: uuid.UUID | None = None, limit: int = 50,
) -> list[Dispatch]:  # fmt: skip
    """Return dispatches of a subscription, newest first; `before` is the id the last page ended with."""
    query = scoped(Dispatch, tenant_id).where(Dispatch.subscription_id == subscription_id)
    if state:
        query = query.where(Dispatch.state == state)
    if type:
        query = query.where(Dispatch.type == type)
    if before:
        query = query.where(Dispatch.id < before)
    return list(db.session.scalars(query.order_by(Dispatch.id.desc()).limit(limit)))


def get_dispatch(tenant_id: uuid.UUID, subscription_id: uuid.UUID, dispatch_id: uuid.UUID) -> Dispatch:
    """Return the dispatch or raise NotFoundError."""
    query = scoped(Dispatch, tenant_id).where(Dispatch.subscription_id == subscription_id, Dispatch.id == dispatch_id)
    found = db.session.scalar(query)
    if found is None:
        raise NotFoundError("There is no such dispatch.")
    return found


def list_attempts(tenant_id: uuid.UUID, dispatch_id: uuid.UUID, *, limit: int = 100) -> list[Attempt]:
    """Return the tries of a dispatch, newest first."""
    query = scoped(Attempt, tenant_id).where(Attempt.dispatch_id == dispatch_id)
    return list(db.session.scalars(query.order_by(Attempt.id.desc()).limit(limit)))


def count_by_state(
    tenant_id: uuid.UUID, subscription_ids: Sequence[uuid.UUID], *, limit: int = 10_001
) -> dict[tuple[uuid.UUID, str], int]:
    """Return (subscription, state) -> how many dispatches wait or have failed, `limit` at most of each."""
    places = [(subscription_id, state) for subscription_id in subscription_ids for state in ("pending", "failed")]
    # Literal states, as the indexes have them.
    counted = " UNION ALL ".join(
        f"SELECT t.s, '{state}', (SELECT count(*) FROM (SELECT FROM dispatches d WHERE d.tenant_id = %b "  # noqa: S608  # constants only
        f"AND d.subscription_id = t.s AND d.state = '{state}' LIMIT %b::int) AS c) FROM unnest(%b::uuid[]) AS t(s)"
        for state in ("pending", "failed")
    )
    values = (tenant_id, limit, uuids(list(subscription_ids)))
    found = {(row[0], row[1]): row[2] for row in connection().execute(counted, (*values, *values), binary=True)}
    return dict.fromkeys(places, 0) | found


def count_replay(tenant_id: uuid.UUID, subscription_id: uuid.UUID, which: Selection) -> int:
    """Return how many dispatches `replay` would send again."""
    query = select(func.count()).select_from(Dispatch).where(*_conditions(tenant_id, subscription_id, which))
    return db.session.scalar(query) or 0


def replay(tenant_id: uuid.UUID, subscription_id: uuid.UUID, which: Selection) -> int:
    """Send dispatches again, under the same message ids and from the first try on; return how many.

    ConflictError while the subscription is switched off.
    """
    fan_out.wake(tenant_id)  # First, as whoever sends locks its task before anything else.
    found = subscriptions.get_subscription(tenant_id, subscription_id, lock=True)
    subscriptions.require_active(found)
    again = update(Dispatch).where(*_conditions(tenant_id, subscription_id, which))
    count = write(again.values(state="pending", due_at=now(), tries=0, finished_at=None))
    if count:
        details: dict[str, Any] = {"state": which.state, "type": which.type} if not which.ids else {"state": "chosen"}
        audit.write(
            tenant_id, "subscription.replayed", "subscription", str(subscription_id), found.name, count=count, **details
        )
    return count


def _conditions(tenant_id: uuid.UUID, subscription_id: uuid.UUID, which: Selection) -> list[Any]:
    found: list[Any] = [Dispatch.tenant_id == tenant_id, Dispatch.subscription_id == subscription_id]
    if which.ids:
        return [*found, Dispatch.id.in_(which.ids), Dispatch.state.in_(_OVER)]
    found.append(Dispatch.state == which.state if which.state in _OVER else Dispatch.state.in_(_OVER))
    if which.since:
        found.append(Dispatch.created_at >= which.since)
    if which.until:
        found.append(Dispatch.created_at < which.until)
    if which.type:
        found.append(Dispatch.type == which.type)
    return found
