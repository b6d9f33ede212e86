"""The home page: what needs somebody, how the installations are, what has happened, and the first steps.

A fixed number of statements, each straight from an index: the same with no installation and with a thousand.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, literal_column, select, text, update

from app.clock import now
from app.db import db, write
from app.models.accounts import Invitation, Membership
from app.models.connections import Connection
from app.models.fleet import InstallationStatus
from app.models.installations import Installation
from app.models.runs import Conflict, Problem, Run
from app.services import destinations, integration_requests, run_reports, subscriptions
from app.services.conflicts import COUNT_LIMIT, SHOWN
from app.services.run_reports import RunRow
from app.tenancy import scoped

URGENT, LISTED = 5, 6
# Problems that are sums of single records: the page counts those records instead.
SUMS = ("records_refused", "conflicts_open")
# Literal, as the index has it.
_OPEN = text("problems.state = 'open'")
# Healthy ones are late.
_ORDER = case({"failing": 1, "incomplete": 2}, value=literal_column("installation_status.status"), else_=0)


@dataclass(frozen=True)
class Needs:
    """How much waits for a person. `refused_in`: the only installation with refused records, None when several have."""

    problems: int
    refused: int
    refused_in: uuid.UUID | None
    conflicts: int
    requests: int
    subscriptions: int
    destinations: int

    @property
    def any(self) -> bool:
        """Whether there is anything at all."""
        return bool(self.problems or self.refused or self.conflicts)


@dataclass(frozen=True)
class Step:
    """One of the first steps: done, or the page it is done on, none while another comes first. `role` may do it."""

    key: str
    done: bool
    address: str
    role: str = "member"


def count_needs(tenant_id: uuid.UUID) -> Needs:
    """Return what waits; conflicts are counted up to COUNT_LIMIT + 1."""
    problems = (
        select(
            func.count().filter(Problem.code.not_in(SUMS)),
            func.coalesce(func.sum(Problem.count).filter(Problem.code == "records_refused"), 0),
            func.array_agg(Problem.installation_id.distinct()).filter(Problem.code == "records_refused"),
        )
        .where(Problem.tenant_id == tenant_id, _OPEN)
    )  # fmt: skip
    found, refused, places = db.session.execute(problems).one()
    some = select(Conflict.id).where(Conflict.tenant_id == tenant_id, SHOWN["open"]).limit(COUNT_LIMIT + 1).subquery()
    asked = integration_requests.count_of_open(tenant_id).scalar_subquery()
    off = subscriptions.count_of_switched_off(tenant_id).scalar_subquery()
    troubled = destinations.count_of_troubled(tenant_id).scalar_subquery()
    conflicts, requests, silent, dumb = db.session.execute(
        select(select(func.count()).select_from(some).scalar_subquery(), asked, off, troubled)
    ).one()
    place = places[0] if places and len(places) == 1 else None
    return Needs(found, int(refused), place, conflicts, requests, silent, dumb)


@dataclass(frozen=True)
class ForAdmins:
    """What waits for admins alone: requests to decide, subscriptions and destinations that do not answer."""

    requests: int
    subscriptions: int
    destinations: int


def count_for_admins(tenant_id: uuid.UUID) -> ForAdmins:
    """Return what the sidebar counts for admins."""
    counts = (
        integration_requests.count_of_open(tenant_id), subscriptions.count_of_switched_off(tenant_id),
        destinations.count_of_troubled(tenant_id),
    )  # fmt: skip
    return ForAdmins(*db.session.execute(select(*(count.scalar_subquery() for count in counts))).one())


def list_urgent(tenant_id: uuid.UUID) -> list[tuple[Problem, str, uuid.UUID]]:
    """Return (problem, installation's name, version) of what needs somebody most: what stops a sync comes first."""
    query = select(Problem, Installation.name, Installation.listing_version_id).join(
        Installation, (Installation.tenant_id == Problem.tenant_id) & (Installation.id == Problem.installation_id)
    )
    query = query.where(Problem.tenant_id == tenant_id, _OPEN, Problem.code.not_in(SUMS))
    rows = db.session.execute(query.order_by(Problem.stops_sync.desc(), Problem.last_seen_at.desc()).limit(URGENT))
    return [(row[0], row[1], row[2]) for row in rows]


def count_statuses(tenant_id: uuid.UUID) -> dict[str, int]:
    """Return status word -> how many installations have it now."""
    late = (InstallationStatus.status == "healthy") & (InstallationStatus.late_at < now())
    word = case((late, "late"), else_=InstallationStatus.status)
    rows = db.session.execute(
        select(word, func.count()).where(InstallationStatus.tenant_id == tenant_id).group_by(word)
    )
    return {row[0]: row[1] for row in rows}


def list_behind(tenant_id: uuid.UUID) -> list[tuple[InstallationStatus, str]]:
    """Return (status, name) of installations that are late or fail; what needs somebody is among the problems."""
    query = select(InstallationStatus, Installation.name).join(
        Installation,
        (Installation.tenant_id == InstallationStatus.tenant_id) & (Installation.id == InstallationStatus.id),
    )
    bad = InstallationStatus.status.in_(("failing", "incomplete"))
    late = (InstallationStatus.status == "healthy") & (InstallationStatus.late_at < now())
    query = query.where(InstallationStatus.tenant_id == tenant_id, bad | late)
    since = func.coalesce(InstallationStatus.late_at, InstallationStatus.changed_at)
    return [(row[0], row[1]) for row in db.session.execute(query.order_by(_ORDER, since).limit(LISTED))]


def list_recent(tenant_id: uuid.UUID) -> list[tuple[RunRow, str]]:
    """Return the newest runs of all installations, each with the installation's name."""
    rows = db.session.execute(
        select(Run, Installation.name)
        .join(Installation, (Installation.tenant_id == Run.tenant_id) & (Installation.id == Run.installation_id))
        .where(Run.tenant_id == tenant_id)
        .order_by(Run.created_at.desc())
        .limit(LISTED)
    ).all()
    found = run_reports.with_sums(tenant_id, [row[0] for row in rows])
    return list(zip(found, [row[1] for row in rows], strict=True))


def list_steps(tenant_id: uuid.UUID, user_id: uuid.UUID) -> list[Step]:
    """Return the first steps with what is done of them; nothing for somebody who has put them away."""
    member = db.session.scalar(scoped(Membership, tenant_id).where(Membership.user_id == user_id))
    if member is None or member.guide_hidden_at is not None:
        return []

    def is_any(model: type[Installation | Connection | Invitation], *conditions: object) -> object:
        return select(model.id).where(model.tenant_id == tenant_id, *conditions).limit(1).exists()  # type: ignore[arg-type]  # conditions of SQLAlchemy

    draft = (
        select(Installation.id)
        .where(Installation.tenant_id == tenant_id, Installation.state == "setting_up")
        .order_by(Installation.updated_at.desc())
        .limit(1)
    )
    mapped = Installation.state.in_(("active", "paused")) | (Installation.step == "activate")
    colleagues = select(Membership.id).where(Membership.tenant_id == tenant_id).offset(1).limit(1)
    row = db.session.execute(
        select(
            is_any(Connection, Connection.state == "ready"), is_any(Installation, mapped),  # type: ignore[call-overload]  # as above
            is_any(Installation, Installation.last_success_at.is_not(None)),
            colleagues.exists() | is_any(Invitation), draft.scalar_subquery(),
        )
    ).one()  # fmt: skip
    connected, has_mapping, synced, invited, draft_id = row
    setup = f"/installations/{draft_id}/setup/" if draft_id else ""
    return [
        Step("connect", connected, f"{setup}connect" if setup else "/", "admin"),
        Step("map", has_mapping, f"{setup}map" if setup and connected else "", "admin"),
        Step("sync", synced, f"{setup}activate" if setup and has_mapping else "", "admin"),
        Step("invite", invited, "/members", "admin"),
        Step("notify", member.notify is not None, "/profile#notifications"),
    ]


def hide_steps(tenant_id: uuid.UUID, user_id: uuid.UUID, at: datetime | None = None) -> None:
    """Put the first steps away for one person."""
    mine = (Membership.tenant_id == tenant_id, Membership.user_id == user_id)
    write(update(Membership).where(*mine).values(guide_hidden_at=at or now()))
