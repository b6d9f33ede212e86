"""The catalog and its listings, for anyone; the Install button for members who may."""

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.access import find_viewer, public, requires, viewer
from app.extensions import settings
from app.htmx import go, render
from app.services import installations, listings
from app.transaction import transaction

blueprint = Blueprint("catalog", __name__)


@blueprint.get("/")
@public
def index() -> Response:
    text, category = request.args.get("q", "")[:100], request.args.get("category", "")[:80]
    who = find_viewer()
    installed: dict[str, installations.Overview] = {}
    if who and who.tenant:
        for overview in installations.list_overviews(who.tenant.id):
            installed.setdefault(overview.installation.connector, overview)
    found = listings.list_listings(text=text, category=category)
    manifests = {item.id: listings.manifest_of(item.current_version) for item in found if item.current_version}
    return render(
        "catalog/index.html", "catalog/_results.html", listings=found, manifests=manifests, installed=installed,
        categories=listings.list_categories(), q=text, category=category, host_name=settings().host_name,
    )  # fmt: skip


@blueprint.get("/integrations/<slug>")
@public
def show(slug: str) -> Response:
    listing = listings.get_listing(slug)
    who = find_viewer()
    mine = installations.list_overviews(who.tenant.id, connector=slug) if who and who.tenant else []
    assert listing.current_version is not None
    manifest = listings.manifest_of(listing.current_version)
    return render(
        "catalog/show.html", listing=listing, manifest=manifest, mine=mine,
        versions=listings.list_versions(listing.id), guide=listings.guide_of(slug), host_name=settings().host_name,
        readiness=listings.readiness_of(slug, manifest) if who and who.staff_roles else [],
    )  # fmt: skip


@blueprint.post("/integrations/<slug>/install")
@requires("admin")
def install(slug: str) -> Response:
    who = viewer()
    with transaction():
        made = installations.create_installation(who.tenant_id, slug, user_id=who.user.id)
    return go(f"/installations/{made.id}/setup/{made.step}")
