"""The fleet for the host's staff, and one customer's installations under a grant of theirs."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires_staff, viewer
from app.htmx import render
from app.services import breakers, delivery_log, fleet, installations, problems, support_grants
from app.tenancy import bind_tenant
from app.transaction import transaction

if TYPE_CHECKING:
    from app.models.support_grants import SupportGrant

blueprint = Blueprint("fleet", __name__, url_prefix="/fleet")
_SIZE = 50


@blueprint.get("")
@requires_staff("support", "operator")
def index() -> Response:
    filters = fleet.Filters(**{name: request.args.get(name, "")[:120] for name in fleet.FILTERS})
    found = fleet.list_statuses(filters, before=request.args.get("before", type=uuid.UUID), limit=_SIZE + 1)
    return render(
        "fleet/index.html", rows=found[:_SIZE], filters=filters, causes=fleet.list_causes(), down=breakers.list_open_hosts(),
        grants={grant.tenant_id: grant for grant in support_grants.list_live()},
        older=found[_SIZE - 1].id if len(found) > _SIZE else None,
    )  # fmt: skip


@blueprint.get("/<uuid:tenant_id>")
@requires_staff("support")
def show(tenant_id: uuid.UUID) -> Response:
    with _reading(tenant_id, "installations") as grant:
        overviews, found = installations.list_overviews(tenant_id), problems.list_open(tenant_id)
        deliveries = delivery_log.list_recent(tenant_id)
    names = {overview.installation.id: overview.installation.name for overview in overviews}
    return render(
        "fleet/show.html", grant=grant, overviews=overviews, problems=found, deliveries=deliveries, names=names
    )


@contextmanager
def _reading(tenant_id: uuid.UUID, what: str) -> "Iterator[SupportGrant]":
    user_id = viewer().user.id
    with bind_tenant(tenant_id, user_id), transaction():
        support_grants.begin_reading(tenant_id, what)
    with bind_tenant(tenant_id, user_id, read_only=True), transaction():
        yield support_grants.require_live(tenant_id)
