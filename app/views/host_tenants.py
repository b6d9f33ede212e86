"""Customers for the host's operators: find one, take its data along, have it erased, and the reports that are left."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires_staff, viewer
from app.htmx import go, render
from app.services import erasures, tenants
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from app.views import tenant_data
from app.views.tenant_data import Place

blueprint = Blueprint("host_tenants", __name__, url_prefix="/host/tenants")


@blueprint.get("")
@requires_staff("operator")
def index() -> Response:
    asked = request.args.get("q", "").strip()[:200]
    found = tenants.search(asked) if asked else []
    if len(found) == 1 and found[0][1] == asked:
        return go(f"/host/tenants/{found[0][0]}")  # type: ignore[return-value]  # a redirect is a response
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        done = erasures.list_erasures()
    return render("tenant_data/index.html", asked=asked, found=found, erasures=done)


@blueprint.get("/erasures/<uuid:erasure_id>")
@requires_staff("operator")
def report(erasure_id: uuid.UUID) -> Response:
    with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
        found = erasures.get_report(erasure_id)
    response = Response(json.dumps(found, indent=2) + "\n", content_type="application/json")
    response.headers["content-disposition"] = f'attachment; filename="erasure-{erasure_id}.json"'
    return response


def _of(act: Callable[..., Any], name: str) -> Callable[..., Any]:
    def view(tenant_id: uuid.UUID, **values: Any) -> Any:
        return act(Place(tenant_id, f"/host/tenants/{tenant_id}", host=True), **values)

    view.__name__ = name
    return view


for _name, _rule, _method, _role, _act in tenant_data.ROUTES:
    blueprint.add_url_rule(
        f"/<uuid:tenant_id>{_rule}", _name, requires_staff("operator")(_of(_act, _name)), methods=[_method]
    )
