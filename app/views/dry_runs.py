"""Dry runs of an installation: in the last step of the wizard and, once it is active, on a page of their own."""

import uuid
from typing import Any

from flask import Blueprint, flash, request
from flask import Response as FlaskResponse
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError, NotFoundError
from app.extensions import settings
from app.htmx import go, render, stop_polling, wants_fragment
from app.services import audit, dry_run_file, dry_runs, installations, listings, runs
from app.services.dry_runs import Shown
from app.transaction import transaction
from app.views.installations import open_page

blueprint = Blueprint("dry_runs", __name__, url_prefix="/installations/<uuid:installation_id>/dry-run")
SAMPLES = ("changed", "created")


def parts(dry: Shown | None, address: str) -> dict[str, Any]:
    """Return what the fragment of a dry run needs besides the installation: `address` is that of its page."""
    asked = request.args.get("samples", "")
    return {
        "dry": dry, "address": address, "host_name": settings().host_name,
        "shown_samples": asked if asked in SAMPLES else "", "keep_days": settings().keep_changes_days,
    }  # fmt: skip


def until_over(response: FlaskResponse, dry: Shown | None) -> FlaskResponse:
    """Let the page ask on while a dry run works; at its end the whole page is loaded, its buttons change with it."""
    if dry is not None and dry.state == "waiting":
        return response
    if wants_fragment() and "samples" not in request.args:
        response.headers["HX-Refresh"] = "true"
        return stop_polling(response)
    return response


@blueprint.get("")
@requires("admin")
def show(installation_id: uuid.UUID) -> Response:
    context, tenant_id = open_page(installation_id), viewer().tenant_id
    if context["installation"].state == "setting_up":
        return go(f"/installations/{installation_id}/setup/activate")
    dry = dry_runs.find_latest(tenant_id, installation_id)
    response = render(
        "dry_runs/show.html", "dry_runs/_dry_run.html", tab="dry_run",
        **parts(dry, f"/installations/{installation_id}/dry-run"), **context,
    )  # fmt: skip
    return until_over(response, dry)


@blueprint.get("/file")
@requires("admin")
def file(installation_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    dry, installation = (
        dry_runs.find_latest(tenant_id, installation_id),
        installations.get_installation(tenant_id, installation_id),
    )
    if dry is None or dry.state != "ready":
        raise NotFoundError("There is no dry run that is ready.")
    vendor = listings.manifest_of(installation.listing_version_id).listing.name
    content = dry_run_file.content_of(dry.result, host=settings().host_name, vendor=vendor)
    response = FlaskResponse(content, content_type="text/csv; charset=utf-8")
    response.headers["content-disposition"] = 'attachment; filename="dry-run-figures-and-samples.csv"'
    return response


def _page_of(installation_id: uuid.UUID) -> str:
    installation = installations.get_installation(viewer().tenant_id, installation_id)
    if installation.state == "setting_up":
        return f"/installations/{installation_id}/setup/activate"
    return f"/installations/{installation_id}/dry-run"


@blueprint.post("")
@requires("admin")
def start(installation_id: uuid.UUID) -> Response:
    try:
        with transaction():
            dry_runs.start(viewer().tenant_id, installation_id)
    except AppError as error:
        if error.status != 409:
            raise
        flash(error.message)
    return go(_page_of(installation_id))


@blueprint.post("/stop")
@requires("admin")
def stop(installation_id: uuid.UUID) -> Response:
    page = _page_of(installation_id)
    with transaction():
        dry_runs.stop(viewer().tenant_id, installation_id)
    return go(page)


@blueprint.post("/run")
@requires("admin")
def run(installation_id: uuid.UUID) -> Response:
    """Read everything for real, held to what the dry run has said."""
    who = viewer()
    try:
        with transaction():
            installation = installations.get_installation(who.tenant_id, installation_id)
            dry_runs.keep(who.tenant_id, installation_id)
            if installation.state == "paused":
                installations.resume(who.tenant_id, installation_id, user_id=who.user.id)
            else:
                runs.start_run(who.tenant_id, installation_id, trigger="resync", mode="full", user_id=who.user.id)
            audit.write(who.tenant_id, "run.held_to_dry_run", "installation", str(installation_id), installation.name)
    except AppError as error:
        if error.status != 409:
            raise
        flash(error.message)
        return go(_page_of(installation_id))
    return go(f"/installations/{installation_id}")
