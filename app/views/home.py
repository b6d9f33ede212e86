"""Home: what needs somebody, how things are, what has happened."""

from flask import Blueprint
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import go, render
from app.services import audit, home, listings, repair_cards, volumes
from app.transaction import transaction
from app.views.audit_words import told

blueprint = Blueprint("home", __name__, url_prefix="/home")
_ACTS = 6


@blueprint.get("")
@requires("member")
def show() -> Response:
    who = viewer()
    tenant_id, urgent = who.tenant_id, home.list_urgent(who.tenant_id)
    manifests = listings.manifests_of(version for _, _, version in urgent)
    zone = who.user.zone or (who.tenant.zone if who.tenant else None)
    return render(
        "home/show.html", needs=home.count_needs(tenant_id), urgent=urgent,
        cards={problem.id: repair_cards.card_of(problem, manifests[version]) for problem, _, version in urgent},
        counts=home.count_statuses(tenant_id), behind=home.list_behind(tenant_id), volumes=volumes.read(tenant_id, zone),
        recent=home.list_recent(tenant_id), steps=home.list_steps(tenant_id, who.user.id),
        acts=[(entry, *told(entry)) for entry in audit.list_entries(tenant_id, limit=_ACTS)] if who.may("admin") else [],
    )  # fmt: skip


@blueprint.post("/steps/hide")
@requires("member")
def hide_steps() -> Response:
    who = viewer()
    with transaction():
        home.hide_steps(who.tenant_id, who.user.id)
    return go("/home")
