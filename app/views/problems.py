"""Problems: what someone must act on."""

import uuid

from flask import Blueprint
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import render
from app.services import connections, installations, listings, problems, run_reports

blueprint = Blueprint("problems", __name__, url_prefix="/problems")


@blueprint.get("")
@requires("member")
def index() -> Response:
    tenant_id = viewer().tenant_id
    overviews = {o.installation.id: o for o in installations.list_overviews(tenant_id)}
    return render("problems/index.html", problems=problems.list_open(tenant_id), overviews=overviews)


@blueprint.get("/<uuid:problem_id>")
@requires("member")
def show(problem_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    problem = problems.get_problem(tenant_id, problem_id)
    installation = installations.get_installation(tenant_id, problem.installation_id)
    return render(
        "problems/show.html", problem=problem, installation=installation,
        manifest=listings.manifest_of(installation.listing_version_id),
        connection=connections.get_connection(tenant_id, installation.connection_id),
        exchanges=run_reports.list_exchanges(tenant_id, problem.run_id)[-3:] if problem.run_id and viewer().may("admin") else [],
    )  # fmt: skip
