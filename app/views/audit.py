"""The audit log of the tenant."""

import uuid

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import render
from app.services import audit

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
_SIZE = 50


@blueprint.get("")
@requires("admin")
def index() -> Response:
    before = request.args.get("before", type=uuid.UUID)
    action, actor = request.args.get("action", "")[:60], request.args.get("actor", "")[:60]
    found = audit.list_entries(viewer().tenant_id, action=action, actor=actor, before=before, limit=_SIZE + 1)
    return render(
        "audit/index.html", entries=found[:_SIZE], action=action, actor=actor,
        older=found[_SIZE - 1].id if len(found) > _SIZE else None,
    )  # fmt: skip
