"""One run: what it read and wrote, why records failed, the exchanges kept for support."""

import uuid

from flask import Blueprint, flash
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.extensions import settings
from app.htmx import go, render, stop_polling
from app.models.runs import Problem, Run
from app.services import installations, listings, problems, repair_cards, run_reports, runs, undos
from app.services.repair_cards import Card
from app.transaction import transaction
from connectors.sdk import Manifest

blueprint = Blueprint("runs", __name__, url_prefix="/runs")


@blueprint.get("/<uuid:run_id>")
@requires("member")
def show(run_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    progress = run_reports.get_progress(tenant_id, run_id)
    installation = installations.get_installation(tenant_id, progress.row.run.installation_id)
    manifest = listings.manifest_of(progress.row.run.listing_version_id)
    response = render(
        "runs/show.html", "runs/_status.html", progress=progress, installation=installation,
        manifest=manifest, cause=_cause(progress.row.run, manifest), causes=run_reports.causes(tenant_id, run_id),
        exchanges=run_reports.list_exchanges(tenant_id, run_id) if viewer().may("admin") else [],
        may_undo=viewer().may("admin") and undos.why_not(progress.row.run) is None,
    )  # fmt: skip
    return response if progress.row.run.state in runs.LIVE_STATES else stop_polling(response)


def _cause(run: Run, manifest: Manifest) -> tuple[Problem, Card] | None:
    """Return the problem that ended a run, while it is open and its card has a button for the viewer."""
    if run.error_code is None:
        return None
    found = problems.list_open(run.tenant_id, run.installation_id)
    problem = next((item for item in found if item.code == run.error_code), None)
    card = repair_cards.card_of(problem, manifest) if problem else None
    shown = card is not None and card.act is not None and viewer().may(card.act.role)
    return (problem, card) if problem and card and shown else None


@blueprint.post("/<uuid:run_id>/stop")
@requires("member")
def stop(run_id: uuid.UUID) -> Response:
    with transaction():
        runs.stop_run(viewer().tenant_id, run_id)
    flash("The run stops before its next page.")
    return go(f"/runs/{run_id}")


@blueprint.post("/<uuid:run_id>/confirm")
@requires("admin")
def confirm(run_id: uuid.UUID) -> Response:
    who = viewer()
    with transaction():
        runs.confirm(who.tenant_id, run_id, who.user.id)
    return go(f"/runs/{run_id}")


@blueprint.post("/<uuid:run_id>/keep")
@requires("admin")
def keep(run_id: uuid.UUID) -> Response:
    with transaction():
        paused = installations.decline_run(viewer().tenant_id, run_id)
    flash("The run has ended and the sync is paused." if paused else "The run has ended. The records stay.")
    return go(f"/runs/{run_id}")


@blueprint.get("/<uuid:run_id>/undo")
@requires("member")
def show_undo(run_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    undo = undos.describe(tenant_id, run_id)
    installation = installations.get_installation(tenant_id, undo.run.installation_id)
    working = undo.step in ("look", "undo") and not undo.stuck
    response = render(
        "runs/undo.html", "runs/_undo.html", undo=undo, run=undo.run, installation=installation,
        manifest=listings.manifest_of(undo.run.listing_version_id), working=working,
        destinations=undos.list_destinations(tenant_id, undo), reason=undos.why_not(undo.run),
        keep_days=settings().keep_changes_days,
    )  # fmt: skip
    return response if working else stop_polling(response)


@blueprint.post("/<uuid:run_id>/undo/look")
@requires("admin")
def look_at_undo(run_id: uuid.UUID) -> Response:
    with transaction():
        undos.look(viewer().tenant_id, run_id)
    return go(f"/runs/{run_id}/undo")


@blueprint.post("/<uuid:run_id>/undo")
@requires("admin")
def undo(run_id: uuid.UUID) -> Response:
    who = viewer()
    with transaction():
        undos.begin(who.tenant_id, run_id, who.user.id)
    return go(f"/runs/{run_id}/undo")
