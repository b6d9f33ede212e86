"""Problems: what someone must act on, each as a card with one button, and those that are solved."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import go, render, stop_polling
from app.models.runs import Problem
from app.services import (
    audit,
    connections,
    installation_list,
    installations,
    intents,
    listings,
    problems,
    repair_cards,
    repairs,
    run_reports,
)
from app.transaction import transaction

if TYPE_CHECKING:
    from app.models.installations import Installation

blueprint = Blueprint("problems", __name__, url_prefix="/problems")
_SIZE = 50


@blueprint.get("")
@requires("member")
def index() -> Response:
    tenant_id, inside, place = (
        viewer().tenant_id,
        request.args.get("in", type=uuid.UUID),
        request.args.get("before", ""),
    )
    solved = request.args.get("show") == "solved"
    if solved:
        before = request.args.get("before", type=uuid.UUID)
        found = problems.list_closed(tenant_id, inside, before=before, limit=_SIZE + 1)
    else:
        found = problems.list_open(tenant_id, inside, before=_position(place), limit=_SIZE + 1)
    shown, last = found[:_SIZE], found[_SIZE - 1] if len(found) > _SIZE else None
    places = installation_list.by_id(
        tenant_id, {problem.installation_id for problem in shown} | ({inside} if inside else set())
    )
    return render(
        "problems/index.html", problems=shown, installations=places, solved=solved, inside=places.get(inside) if inside else None,
        cards={} if solved else cards_of(shown, places), older=_place_of(last, solved=solved) if last else None,
    )  # fmt: skip


def _position(text: str) -> problems.Position | None:
    try:
        stops, moment, name = text.split("~")
        return stops == "1", datetime.fromisoformat(moment.replace(" ", "+")), uuid.UUID(name)
    except ValueError:
        return None


def _place_of(problem: Problem, *, solved: bool) -> str:
    if solved:
        return str(problem.id)
    return f"{int(problem.stops_sync)}~{problem.last_seen_at.isoformat()}~{problem.id}"


def cards_of(found: list[Problem], places: "Mapping[uuid.UUID, Installation]") -> dict[uuid.UUID, repair_cards.Card]:
    """Return the card of each problem by its id; `places` are their installations."""
    manifests = listings.manifests_of(item.listing_version_id for item in places.values())
    return {
        problem.id: repair_cards.card_of(problem, manifests[places[problem.installation_id].listing_version_id])
        for problem in found if problem.installation_id in places
    }  # fmt: skip


@blueprint.get("/<uuid:problem_id>")
@requires("member")
def show(problem_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    problem = problems.get_problem(tenant_id, problem_id)
    installation = installations.get_installation(tenant_id, problem.installation_id)
    manifest = listings.manifest_of(installation.listing_version_id)
    card = repair_cards.card_of(problem, manifest)
    trying = repairs.is_tried(tenant_id, problem, card.tries)
    response = render(
        "problems/show.html", "problems/_problem.html", problem=problem, installation=installation, manifest=manifest, card=card, trying=trying,
        affected=repairs.affected(tenant_id, problem), earlier=repairs.earlier(tenant_id, problem),
        connection=connections.get_connection(tenant_id, installation.connection_id),
        exchanges=run_reports.list_exchanges(tenant_id, problem.run_id)[-3:] if problem.run_id and viewer().may("admin") else [],
    )  # fmt: skip
    return response if trying else stop_polling(response)


@blueprint.post("/<uuid:problem_id>/try")
@requires("member")
def try_now(problem_id: uuid.UUID) -> Response:
    who = viewer()
    problem = problems.get_problem(who.tenant_id, problem_id)
    installation = installations.get_installation(who.tenant_id, problem.installation_id)
    card = repair_cards.card_of(problem, listings.manifest_of(installation.listing_version_id))
    with transaction():
        repairs.try_now(who.tenant_id, problem, card.tries, who.user.id)
        audit.write(
            who.tenant_id, "problem.tried", "problem", str(problem_id), installation.name,
            installation_id=installation.id, code=problem.code,
        )  # fmt: skip
    return go(f"/problems/{problem_id}")


@blueprint.post("/<uuid:problem_id>/deletes")
@requires("admin")
def answer_deletes(problem_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    problem = problems.get_problem(tenant_id, problem_id)
    delete = request.form.get("delete") == "yes"
    with transaction():
        count = intents.answer_deletes(tenant_id, problem.installation_id, delete=delete)
        audit.write(
            tenant_id, "deletes.confirmed" if delete else "deletes.declined", "problem", str(problem_id),
            installation_id=problem.installation_id, records=count,
        )  # fmt: skip
    flash(f"{count:,} records are deleted now." if delete else f"{count:,} records stay.")
    return go(f"/problems/{problem_id}")
