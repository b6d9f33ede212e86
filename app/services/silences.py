"""Silences: an endpoint that has been quiet for unusually long is looked into with a run, which tells what was missed.

Webhooks get lost without a trace; that is why the schedule reads as well, and why this says how much they have left out.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, func, select, text

from app.clock import now
from app.db import db
from app.models.endpoints import Delivery, Endpoint
from app.models.installations import Installation, Schedule
from app.models.records import Change
from app.models.runs import Problem, Run
from app.services import listings, notices, problems, runs
from app.sync import silence

CODE = "webhooks_silent"
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
        return _end(endpoint, installation)
    due = silence.look_at(moments_of(endpoint), endpoint.silence_checked_at)
    if due is not None and due <= now():
        last = moments_of(endpoint)[0]
        run = runs.start_run(endpoint.tenant_id, installation.id, trigger="silence")
        endpoint.silence_run_id, endpoint.silent_since, endpoint.silence_checked_at = run.id, last, now()
        return Silence(began=True)
    _reconcile(endpoint, installation)
    hear(endpoint.tenant_id, installation.id)
    return Silence()


def _end(endpoint: Endpoint, installation: Installation) -> Silence:
    run = db.session.scalar(select(Run).where(Run.tenant_id == endpoint.tenant_id, Run.id == endpoint.silence_run_id))
    if run is not None and run.state not in ("done", "failed", "stopped"):
        return Silence()
    endpoint.silence_run_id = None
    if run is None or run.state != "done":
        return Silence()
    endpoint.missed = _changes_of(run)
    if endpoint.missed:
        _tell_missed(installation, endpoint.missed, run)
    return Silence(missed=endpoint.missed)


def _tell_missed(installation: Installation, missed: int, run: Run) -> None:
    manifest = listings.manifest_of(installation.listing_version_id)
    name, by_hand = manifest.listing.name, manifest.webhooks is None or manifest.webhooks.subscribe.create is None
    changes = "1 change" if missed == 1 else f"{missed:,} changes"
    _tell(
        installation, f"{name} sent no webhooks for {changes}",
        f"A run has read what was missed. Check in {name} that webhooks are sent to the address on the tab Webhooks."
        if by_hand
        else "Nothing for now: a run has read what was missed, and the subscription is made anew. If this comes again, "
        f"look in {name} why its webhooks are not sent.",
        count=missed, run=run,
    )  # fmt: skip


def tell_gone(installation: Installation) -> None:
    """Say that the vendor had no subscription any more, and that it has been made anew."""
    name = listings.manifest_of(installation.listing_version_id).listing.name
    _tell(
        installation, f"{name} had no subscription for webhooks any more",
        f"Nothing for now: it was made anew, and a run reads what was missed. If this comes again, look in {name} who "
        "removes it.",
    )  # fmt: skip


def _tell(installation: Installation, message: str, fix: str, *, count: int = 1, run: Run | None = None) -> None:
    fresh = problems.open_problem(
        installation.tenant_id, installation.id, CODE, message, fix, count=count, run_id=run.id if run else None
    )
    if fresh:
        notices.tell_problem(installation.tenant_id, installation, CODE, message, fix)


def hear(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Close what is open about a silence when a verified webhook has come since, and say so. Workers only."""
    came = exists().where(
        Delivery.tenant_id == tenant_id, Delivery.verdict == "accepted", Delivery.created_at > Problem.last_seen_at,
        Delivery.endpoint_id == Endpoint.id, Endpoint.tenant_id == tenant_id,
        Endpoint.installation_id == installation_id,
    )  # fmt: skip
    silent = (Problem.tenant_id == tenant_id, Problem.installation_id == installation_id, Problem.signature == CODE)
    # Looked for first, and literally, as the index has it: it is asked with each page of what webhooks have told.
    if db.session.scalar(select(Problem.id).where(*silent, text("problems.state = 'open'"), came)) is not None:
        problems.close(tenant_id, installation_id, CODE, by="webhook")
        notices.tell_over(tenant_id, runs.get_installation(tenant_id, installation_id), CODE, "webhooks_heard")


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
