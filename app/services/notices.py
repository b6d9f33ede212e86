"""Messages about the status of installations: grouped, once, and again when it is over."""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from app.clock import now
from app.db import db, write
from app.models.accounts import Membership, User
from app.models.destinations import Destination
from app.models.fleet import InstallationStatus
from app.models.installations import Installation
from app.models.runs import Problem
from app.services import destinations, mails
from app.sync.notices import Decision, Standing, decide, preference_of, wants
from app.tenancy import scoped

_SAID = {
    "action_needed": "needs you", "failing": "is failing", "late": "is late", "incomplete": "is incomplete",
    "healthy": "is healthy again", "webhooks_silent": "missed webhooks", "webhooks_heard": "gets webhooks again",
}  # fmt: skip

# So long a problem that changes no status is not told of again.
_QUIET = timedelta(days=1)


@dataclass(frozen=True)
class Told:
    """One installation in a message: its name, status, and in words what happened and what to do."""

    id: uuid.UUID
    name: str
    status: str
    message: str
    fix: str

    @property
    def headline(self) -> str:
        """Its name, and how it is."""
        return f"{self.name} {_SAID[self.status]}"


def tell(tenant_id: uuid.UUID) -> datetime | None:
    """Queue what is to be said about a tenant's installations now; return when to look again. Workers only."""
    rows = {
        row.id: row
        for row in db.session.scalars(
            scoped(InstallationStatus, tenant_id).order_by(InstallationStatus.id).with_for_update()
        )
    }
    decision = decide([_standing(row) for row in rows.values()], now())
    told = {uuid.UUID(key): rows[uuid.UUID(key)].word for key in (*decision.bad, *decision.over)}
    if told:
        _send(tenant_id, decision, told, {row.id: row.told_status or "healthy" for row in rows.values()})
        for installation_id, status in told.items():
            mine = (InstallationStatus.tenant_id == tenant_id, InstallationStatus.id == installation_id)
            write(update(InstallationStatus).where(*mine).values(told_status=status, told_at=now()))
    lates = [row.late_at for row in rows.values() if row.status == "healthy" and row.late_at and row.late_at > now()]
    return min((moment for moment in (*lates, decision.look_at) if moment), default=None)


def tell_problem(tenant_id: uuid.UUID, installation: Installation, code: str, message: str, fix: str) -> None:
    """Queue a message about a problem that changes no status, unless its like was told of within a day. Workers only."""
    if _is_told(tenant_id, installation, code):
        _to_readers_of_problems(tenant_id, [Told(installation.id, installation.name, code, message, fix)], [])


def tell_over(tenant_id: uuid.UUID, installation: Installation, code: str, status: str) -> None:
    """Queue a message that such a problem is over, where its beginning was told of. Workers only."""
    if _is_told(tenant_id, installation, code):
        _to_readers_of_problems(tenant_id, [], [Told(installation.id, installation.name, status, "", "")])


def _is_told(tenant_id: uuid.UUID, installation: Installation, code: str) -> bool:
    mine = (Problem.tenant_id == tenant_id, Problem.installation_id == installation.id, Problem.code == code)
    recent = select(func.count()).select_from(Problem).where(*mine, Problem.created_at > now() - _QUIET)
    return (db.session.scalar(recent) or 0) <= 1


def _to_readers_of_problems(tenant_id: uuid.UUID, bad: list[Told], over: list[Told]) -> None:
    query = select(Membership, User).join(User, User.id == Membership.user_id).where(Membership.tenant_id == tenant_id)
    for member, user in db.session.execute(query):
        if preference_of(member.notify, member.role) == "problems":
            mails.send(tenant_id, user.email, subject_of(bad, over), "notice", bad=bad, over=over)
    for place in destinations.list_active(tenant_id):
        if place.preference == "problems":
            _queue(place, bad, over)


def _standing(row: InstallationStatus) -> Standing:
    word = row.word
    since = row.late_at if word == "late" and row.late_at else row.changed_at
    return Standing(str(row.id), word, since, row.told_status, row.told_at)


def _send(
    tenant_id: uuid.UUID, decision: Decision, told: dict[uuid.UUID, str], before: dict[uuid.UUID, str]
) -> None:  # fmt: skip
    words = _words(tenant_id, told)
    bad = [words[uuid.UUID(key)] for key in decision.bad if uuid.UUID(key) in words]
    over = [words[uuid.UUID(key)] for key in decision.over if uuid.UUID(key) in words]
    query = select(Membership, User).join(User, User.id == Membership.user_id).where(Membership.tenant_id == tenant_id)
    for member, user in db.session.execute(query):
        preference = preference_of(member.notify, member.role)
        mine = [one for one in bad if wants(preference, one.status)]
        # Who was told of the trouble hears of its end.
        ended = [one for one in over if wants(preference, before[one.id])]
        if mine or ended:
            mails.send(tenant_id, user.email, subject_of(mine, ended), "notice", bad=mine, over=ended)
    for place in destinations.list_active(tenant_id):
        mine = [one for one in bad if wants(place.preference, one.status)]  # type: ignore[arg-type]  # as the table has it
        ended = [one for one in over if wants(place.preference, before[one.id])]  # type: ignore[arg-type]  # as above
        if mine or ended:
            _queue(place, mine, ended)


def _queue(place: Destination, bad: list[Told], over: list[Told]) -> None:
    said = [[{**asdict(one), "id": str(one.id), "headline": one.headline} for one in some] for some in (bad, over)]
    destinations.queue(place, subject_of(bad, over), said[0], said[1])


def _words(tenant_id: uuid.UUID, told: dict[uuid.UUID, str]) -> dict[uuid.UUID, Told]:
    problems: dict[uuid.UUID, Problem] = {}
    query = scoped(Problem, tenant_id).where(Problem.installation_id.in_(told), Problem.state == "open")
    for problem in db.session.scalars(query.order_by(Problem.stops_sync, Problem.last_seen_at)):
        problems[problem.installation_id] = problem  # The gravest comes last.
    names = db.session.execute(
        select(Installation.id, Installation.name).where(
            Installation.tenant_id == tenant_id, Installation.id.in_(told), Installation.state != "removed"
        )
    )
    found = {}
    for installation_id, name in names:
        known = problems.get(installation_id)
        late = "Its data is older than its schedule promises." if told[installation_id] == "late" else ""
        found[installation_id] = Told(
            installation_id,
            name,
            told[installation_id],
            known.message if known else late,
            known.fix if known else "",
        )
    return found


def subject_of(bad: list[Told], over: list[Told]) -> str:
    """Return the subject of a message: its one installation by name, or how many there are."""
    if len(bad) == 1:
        return bad[0].headline
    if bad:
        return f"{len(bad)} integrations are not in order"
    return over[0].headline if len(over) == 1 else f"{len(over)} integrations are healthy again"


def save_preference(tenant_id: uuid.UUID, user_id: uuid.UUID, preference: str) -> None:
    """Keep what somebody wants to hear of a tenant's installations."""
    mine = (Membership.tenant_id == tenant_id, Membership.user_id == user_id)
    write(update(Membership).where(*mine).values(notify=preference))


def preference(tenant_id: uuid.UUID, user_id: uuid.UUID) -> str:
    """Return what somebody wants to hear of a tenant's installations."""
    query = scoped(Membership, tenant_id).where(Membership.user_id == user_id)
    member = db.session.scalar(query)
    return preference_of(member.notify, member.role) if member else "none"
