"""Silences: an endpoint that has been quiet for unusually long is looked into with a run, which tells what was missed.

Webhooks get lost without a trace; that is why the schedule reads as well, and why this says how much they have left out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from app.clock import now
from app.db import db
from app.models.endpoints import Delivery, Endpoint
from app.models.installations import Installation, Schedule
from app.models.records import Change
from app.models.runs import Run
from app.services import runs
from app.sync import silence

_LAST = 50
# Where no schedule reads, this often a run finds what no webhook has told.
_RECONCILE = timedelta(days=1)
_SOON, _LATEST = timedelta(seconds=5), timedelta(hours=1)


@dataclass(frozen=True)
class Silence:
    """`began`: it is being looked into from now on. `missed`: the look has ended, and found so many changes."""

    began: bool = False
    missed: int | None = None


def moments_of(endpoint: Endpoint) -> list[datetime]:
    """Return when the last deliveries came, newest first."""
    query = select(Delivery.created_at).where(
        Delivery.tenant_id == endpoint.tenant_id, Delivery.endpoint_id == endpoint.id, Delivery.verdict == "accepted"
    )
    return list(db.session.scalars(query.order_by(Delivery.id.desc()).limit(_LAST)))


def patience_of(endpoint: Endpoint) -> timedelta | None:
    """Return how long the endpoint may be quiet before somebody looks; None while nothing says what is usual."""
    return silence.patience(moments_of(endpoint))


def look(endpoint: Endpoint, installation: Installation) -> Silence:
    """Begin or end the look into a silence, and reconcile where no schedule does."""
    if installation.state != "active" or installation.blocked_code:
        return Silence()
    if endpoint.silence_run_id is not None:
        return _end(endpoint)
    due = silence.look_at(moments_of(endpoint), endpoint.silence_checked_at)
    if due is not None and due <= now():
        last = moments_of(endpoint)[0]
        run = runs.start_run(endpoint.tenant_id, installation.id, trigger="silence")
        endpoint.silence_run_id, endpoint.silent_since, endpoint.silence_checked_at = run.id, last, now()
        return Silence(began=True)
    _reconcile(endpoint, installation)
    return Silence()


def _end(endpoint: Endpoint) -> Silence:
    run = db.session.scalar(select(Run).where(Run.tenant_id == endpoint.tenant_id, Run.id == endpoint.silence_run_id))
    if run is not None and run.state not in ("done", "failed", "stopped"):
        return Silence()
    endpoint.silence_run_id = None
    if run is None or run.state != "done":
        return Silence()
    endpoint.missed = _changes_of(run)
    return Silence(missed=endpoint.missed)


def _changes_of(run: Run) -> int:
    query = select(func.count()).where(Change.tenant_id == run.tenant_id, Change.run_id == run.id)
    return db.session.scalar(query) or 0


def _reconcile(endpoint: Endpoint, installation: Installation) -> None:
    query = select(Schedule.active).where(
        Schedule.tenant_id == endpoint.tenant_id, Schedule.installation_id == installation.id
    )
    read = installation.last_success_at
    if not db.session.scalar(query) and read is not None and read < now() - _RECONCILE:
        runs.start_run(endpoint.tenant_id, installation.id, trigger="schedule")


def next_look(endpoint: Endpoint, installation: Installation) -> datetime:
    """Return when a worker looks at the endpoint again: to renew, into a silence, or after its run."""
    if endpoint.silence_run_id is not None:
        return now() + _SOON
    due = silence.look_at(moments_of(endpoint), endpoint.silence_checked_at)
    dues = [moment for moment in (due, endpoint.renew_at, now() + _LATEST) if moment is not None]
    return max(min(dues), now() + _SOON)
