"""The audit log of the tenant."""

import uuid

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import render
from app.services import audit
from app.views.audit_words import KINDS, prefixes_of, told

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
_SIZE = 50


@blueprint.get("")
@requires("admin")
def index() -> Response:
    before = request.args.get("before", type=uuid.UUID)
    kind, actor = request.args.get("kind", ""), request.args.get("actor", "").strip()[:60]
    found = audit.list_entries(
        viewer().tenant_id, actions=prefixes_of(kind), actor=actor, before=before, limit=_SIZE + 1
    )  # fmt: skip
    return render(
        "audit/index.html", entries=[(entry, *told(entry)) for entry in found[:_SIZE]], kind=kind, kinds=KINDS,
        actor=actor, before=before, older=found[_SIZE - 1].id if len(found) > _SIZE else None,
    )  # fmt: skip
