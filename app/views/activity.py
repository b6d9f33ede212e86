"""What an installation may do, what it did, and what has happened to it."""

import uuid
from datetime import datetime

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.extensions import settings
from app.htmx import render
from app.services import activity, freshness, permissions
from app.services.activity import Cursor
from app.views.activity_words import told
from app.views.installations import open_page

blueprint = Blueprint("activity", __name__, url_prefix="/installations/<uuid:installation_id>/activity")
_SIZE = 50


@blueprint.get("")
@requires("member")
def index(installation_id: uuid.UUID) -> Response:
    context, tenant_id = open_page(installation_id), viewer().tenant_id
    kind, before = request.args.get("kind", ""), _cursor(request.args.get("before", ""))
    kind = kind if kind in activity.KINDS else "all"
    found = activity.list_entries(tenant_id, installation_id, kind=kind, before=before, limit=_SIZE + 1)
    older = _written(found[_SIZE - 1].cursor) if len(found) > _SIZE else None
    manifest, connection, powers = context["manifest"], context["overview"].connection, None
    if before is None and context["installation"].state != "setting_up":
        done = freshness.list_streams(tenant_id, installation_id, context["overview"].facts)
        powers = permissions.powers_of(manifest, connection, context["streams"], done)
        context |= {"done": done, "webhooks": permissions.count_webhooks(tenant_id, installation_id)}
    return render(
        "activity/index.html", tab="activity", kind=kind, before=before, older=older, powers=powers,
        entries=[(entry, told(entry, manifest.listing.name)) for entry in found[:_SIZE]],
        rights=permissions.permissions_of(manifest, connection), most_webhooks=permissions.MOST_WEBHOOKS,
        host_name=settings().host_name, **context,
    )  # fmt: skip


def _cursor(text: str) -> Cursor | None:
    """Return the cursor in an address; one that is none begins anew."""
    moment, _, key = text.partition("~")
    try:
        at = datetime.fromisoformat(moment)
        return (at, uuid.UUID(key)) if at.tzinfo else None
    except ValueError:
        return None


def _written(cursor: Cursor) -> str:
    return f"{cursor[0].isoformat()}~{cursor[1]}"
