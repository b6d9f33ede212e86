"""The fleet for the host's staff, and one customer's installations under a grant of theirs."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import requires_staff, viewer
from app.clock import now
from app.htmx import render
from app.services import breakers, delivery_log, fleet, handled_changes, installation_list, problems, support_grants
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
        after = request.args.get("after", type=uuid.UUID)
        found = installation_list.list_page(tenant_id, installation_list.Filters(), after=after)
        open_ones, count = problems.list_open(tenant_id, limit=_SIZE), problems.count_open(tenant_id)
        shown = [item.installation.id for item in found.overviews]
        told = handled_changes.count(tenant_id, shown, now() - timedelta(days=1))
        deliveries, name = delivery_log.list_recent(tenant_id), fleet.name_of(tenant_id)
        places = installation_list.by_id(tenant_id, {home for _, home in deliveries if home})
    return render(
        "fleet/show.html", grant=grant, name=name, overviews=found.overviews, after=found.after, told=told, problems=open_ones, count=count,
        deliveries=deliveries, names={key: item.name for key, item in places.items()},
    )  # fmt: skip


@contextmanager
def _reading(tenant_id: uuid.UUID, what: str) -> "Iterator[SupportGrant]":
    user_id = viewer().user.id
    with bind_tenant(tenant_id, user_id), transaction():
        support_grants.begin_reading(tenant_id, what)
    with bind_tenant(tenant_id, user_id, read_only=True), transaction():
        yield support_grants.require_live(tenant_id)
