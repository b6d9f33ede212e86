"""Problems: what somebody must act on, and the call that proves a repair."""

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.api import gate
from app.api.operations import Noun
from app.api.paging import Page, PageQuery, cut, unpack
from app.models.runs import Problem as ProblemRow
from app.services import audit, installations, listings, problems, repair_cards, repairs

noun = Noun("problems", "Problems", "What somebody must act on: what happened, why, and what to do.")


class RepairCard(BaseModel):
    """A problem. It closes when the call it is about has worked."""

    id: uuid.UUID
    installation_id: uuid.UUID
    code: str
    state: Literal["open", "closed"]
    stops_sync: bool
    message: str
    fix: str
    count: int
    run_id: uuid.UUID | None
    created_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    closed_by: str | None


class RepairCards(Page[RepairCard]):
    """Problems: open ones that stop a sync first, closed ones newest first."""


class ProblemQuery(PageQuery):
    """Which problems."""

    state: Literal["open", "closed"] = "open"
    installation_id: uuid.UUID | None = None


def _shown(row: ProblemRow) -> RepairCard:
    values: dict[str, Any] = {name: getattr(row, name) for name in RepairCard.model_fields}
    return RepairCard.model_validate(values)


@noun.get("/problems", scope="list", query=ProblemQuery, answer=RepairCards)
def list_problems(query: ProblemQuery) -> RepairCards:
    """List problems

    Open ones all at once, at most 200.
    """
    tenant_id = gate.caller().tenant_id
    place = unpack(query.cursor, uuid.UUID)
    if query.state == "open":
        found = problems.list_open(tenant_id, query.installation_id)
        return RepairCards(data=[_shown(row) for row in found], next=None)
    closed = problems.list_closed(
        tenant_id, query.installation_id, before=place[0] if place else None, limit=query.limit + 1
    )
    rows, onward = cut(closed, query.limit, lambda row: (str(row.id),))
    return RepairCards(data=[_shown(row) for row in rows], next=onward)


@noun.get("/problems/<uuid:problem_id>", scope="read", answer=RepairCard)
def show_problem(problem_id: uuid.UUID) -> RepairCard:
    """Show a problem"""
    return _shown(problems.get_problem(gate.caller().tenant_id, problem_id))


@noun.post("/problems/<uuid:problem_id>/try", scope="write", answer=RepairCard, status=202)
def try_problem(problem_id: uuid.UUID) -> RepairCard:
    """Make the call that proves the repair; the problem closes when it works

    409 where no call can prove it, and somebody has to decide.
    """
    who = gate.caller()
    problem = problems.get_problem(who.tenant_id, problem_id)
    row = installations.get_installation(who.tenant_id, problem.installation_id)
    card = repair_cards.card_of(problem, listings.manifest_of(row.listing_version_id))
    repairs.try_now(who.tenant_id, problem, card.tries, who.key_id)
    audit.write(
        who.tenant_id, "problem.tried", "problem", str(problem_id), row.name, installation_id=row.id, code=problem.code
    )
    return _shown(problem)
