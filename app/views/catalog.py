"""The catalog and its listings, for anyone; the Install button for members who may."""

from urllib.parse import urlencode

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app import guests
from app.access import find_viewer, public, requires, viewer
from app.errors import ConflictError
from app.extensions import settings
from app.htmx import go, render
from app.services import catalog, installation_list, installations, listings
from app.services.listing_facts import CAPABILITIES
from app.transaction import transaction

blueprint = Blueprint("catalog", __name__)


@blueprint.get("/")
@public
def index() -> Response:
    filters = catalog.filters_of(
        request.args, {name: request.args.getlist(name) for name in ("can", "signs_in", "publisher")}
    )
    page, who = min(max(1, request.args.get("page", 1, type=int)), 10_000), find_viewer()
    found = catalog.search(filters, start=(page - 1) * catalog.PAGE)
    installed: dict[str, installation_list.Installed] = {}
    if who and who.tenant:
        installed = installation_list.list_installed(who.tenant.id, [item.slug for item in found.listings])
    return render(
        "catalog/index.html", "catalog/_found.html", found=found, filters=filters, number=page,
        installed=installed, installed_count=installation_list.count_connectors(who.tenant.id) if installed and who and who.tenant else 0, capabilities=CAPABILITIES, sorts=catalog.SORTS, address=_address,
        pages=catalog.PAGE, down=catalog.hosts_down(),
        synced=catalog.synced_types(who.tenant.id) if who and who.tenant else set(), host_name=settings().host_name,
    )  # fmt: skip


def _address(**changes: str | None) -> str:
    """Return the address of the catalog with these values instead of its own, always from the first page."""
    kept = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if value and name not in changes and name != "page"
    ]
    found = urlencode([*kept, *((name, value) for name, value in changes.items() if value)])
    return f"/?{found}" if found else "/"


@blueprint.get("/integrations/<slug>")
@public
def show(slug: str) -> Response:
    listing = listings.get_listing(slug)
    who = find_viewer()
    mine = installation_list.list_of_connector(who.tenant.id, slug) if who and who.tenant else []
    mine = [item for item in mine if guests.may_see(item.installation.id)]
    assert listing.current_version is not None
    manifest = listings.manifest_of(listing.current_version)
    return render(
        "catalog/show.html", listing=listing, manifest=manifest, mine=mine, down=catalog.hosts_down(),
        versions=listings.list_versions(listing.id), guide=listings.guide_of(slug, whole=bool(who and who.staff_roles)), settings=settings(),
        host_name=settings().host_name,
        readiness=listings.readiness_of(slug, manifest) if who and who.staff_roles else [],
    )  # fmt: skip


@blueprint.post("/integrations/<slug>/install")
@requires("admin")
def install(slug: str) -> Response:
    who = viewer()
    if listings.get_listing(slug).stage == "deprecated":
        raise ConflictError(
            "This integration is not installed anew any more. Where it is installed it goes on working."
        )
    with transaction():
        made = installations.create_installation(who.tenant_id, slug, user_id=who.user.id)
    return go(f"/installations/{made.id}/setup/{made.step}")
