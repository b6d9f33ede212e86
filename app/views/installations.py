"""Installations: the list, one with its live run, and what can be done with it."""

import uuid
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError
from app.htmx import go, render, stop_polling
from app.models.runs import Problem
from app.services import (
    freshness,
    home,
    installation_list,
    installations,
    listings,
    problems,
    removals,
    repair_cards,
    run_reports,
    runs,
    upgrades,
)
from app.services.installations import Overview
from app.services.repair_cards import Card
from app.transaction import transaction
from connectors.sdk import Manifest

blueprint = Blueprint("installations", __name__, url_prefix="/installations")


@blueprint.get("")
@requires("member")
def index() -> Response:
    tenant_id, filters = viewer().tenant_id, installation_list.Filters.of(request.args)
    found = installation_list.list_page(tenant_id, filters, after=request.args.get("after", type=uuid.UUID))
    return render(
        "installations/index.html", "installations/_list.html", found=found, filters=filters,
        counts=home.count_statuses(tenant_id), connectors=installation_list.list_connectors(tenant_id),
    )  # fmt: skip


def open_page(installation_id: uuid.UUID) -> dict[str, Any]:
    """Return what every page of an installation shows: its overview, manifest and tab counts."""
    tenant_id = viewer().tenant_id
    overview = installations.get_overview(tenant_id, installation_id)
    manifest = listings.manifest_of(overview.installation.listing_version_id)
    found = problems.list_open(tenant_id, installation_id)
    return {
        "overview": overview,
        "installation": overview.installation,
        "manifest": manifest,
        "streams": installations.list_streams(tenant_id, installation_id),
        "problems": found,
        "repair": _repair(overview, found, manifest),
    }


def _repair(overview: Overview, found: Sequence[Problem], manifest: Manifest) -> tuple[Problem, Card] | None:
    """Return the problem that an installation has stopped for, with its card; None for one that goes on."""
    stops = [problem for problem in found if problem.stops_sync]
    if overview.status != "action_needed" or not stops:
        return None
    problem = next((p for p in stops if p.code == overview.installation.blocked_code), stops[0])
    return problem, repair_cards.card_of(problem, manifest)


@blueprint.get("/<uuid:installation_id>")
@requires("member")
def show(installation_id: uuid.UUID) -> Response:
    context, tenant_id = open_page(installation_id), viewer().tenant_id
    if context["installation"].state == "setting_up":
        return go(f"/installations/{installation_id}/setup/{context['installation'].step}")
    live = context["overview"].live_run
    flows_out = any(stream.enabled and stream.direction != "in" for stream in context["streams"])
    return render(
        "installations/show.html", tab="overview", rows=run_reports.list_runs(tenant_id, installation_id, limit=48),
        progress=run_reports.get_progress(tenant_id, live.id) if live else None,
        counts=run_reports.counts(tenant_id, installation_id),
        moved=freshness.list_streams(tenant_id, installation_id, context["overview"].facts), most=freshness.MOST,
        removed_at=removals.removed_at(context["installation"]),
        outgoing=run_reports.count_outgoing(tenant_id, installation_id) if flows_out else None,
        cards={problem.id: repair_cards.card_of(problem, context["manifest"]) for problem in context["problems"]},
        newer=upgrades.newer_version(context["installation"]), **context,
    )  # fmt: skip


@blueprint.get("/<uuid:installation_id>/live")
@requires("member")
def live(installation_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    run = runs.live_run(tenant_id, installation_id)
    if run is None:
        # The page is loaded anew: problems, counts and runs have changed with the end of the run.
        response = render("installations/_live.html", progress=None, installation_id=installation_id)
        response.headers["HX-Refresh"] = "true"
        return stop_polling(response)
    return render(
        "installations/_live.html",
        progress=run_reports.get_progress(tenant_id, run.id),
        installation_id=installation_id,
        manifest=listings.manifest_of(run.listing_version_id),
    )


@blueprint.post("/<uuid:installation_id>/run")
@requires("member")
def run_now(installation_id: uuid.UUID) -> Response:
    return _act(
        installation_id,
        lambda who: runs.start_run(who.tenant_id, installation_id, trigger="manual", user_id=who.user.id),
    )


@blueprint.post("/<uuid:installation_id>/resync")
@requires("admin")
def resync(installation_id: uuid.UUID) -> Response:
    return _act(
        installation_id,
        lambda who: runs.start_run(who.tenant_id, installation_id, trigger="resync", mode="full", user_id=who.user.id),
    )


@blueprint.post("/<uuid:installation_id>/pause")
@requires("admin")
def pause(installation_id: uuid.UUID) -> Response:
    return _act(
        installation_id,
        lambda who: installations.pause(who.tenant_id, installation_id),
        "Paused. Nothing is forgotten.",
    )


@blueprint.post("/<uuid:installation_id>/resume")
@requires("admin")
def resume(installation_id: uuid.UUID) -> Response:
    return _act(
        installation_id,
        lambda who: installations.resume(who.tenant_id, installation_id, user_id=who.user.id),
        "Resumed.",
    )


@blueprint.post("/<uuid:installation_id>/upgrade")
@requires("admin")
def upgrade(installation_id: uuid.UUID) -> Response:
    return _act(
        installation_id,
        lambda who: upgrades.upgrade_installation(
            who.tenant_id, installations.get_installation(who.tenant_id, installation_id)
        ),
        "The installation has the newest version.",
    )


def _act(installation_id: uuid.UUID, act: Any, message: str = "") -> Response:
    try:
        with transaction():
            act(viewer())
        if message:
            flash(message)
    except AppError as error:
        if error.status != 409:
            raise
        flash(error.message)
    return go(f"/installations/{installation_id}")


@blueprint.get("/<uuid:installation_id>/runs")
@requires("member")
def run_list(installation_id: uuid.UUID) -> Response:
    before = request.args.get("before", type=uuid.UUID)
    found = run_reports.list_runs(viewer().tenant_id, installation_id, before=before, limit=51)
    return render(
        "runs/index.html", tab="runs", rows=found[:50], older=found[49].run.id if len(found) > 50 else None,
        **open_page(installation_id),
    )  # fmt: skip
