"""The catalog: integrations that can be installed, and what each needs."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.api.operations import Noun
from app.api.paging import Page, PageQuery, pack, unpack
from app.services import catalog, listings
from app.services.catalog import Filters
from connectors.sdk import Manifest
from connectors.sdk.manifest import Auth

noun = Noun("catalog", "Catalog", "Integrations that can be installed, and what each of them needs.")


class Integration(BaseModel):
    """A listing of the catalog."""

    slug: str
    name: str
    summary: str
    categories: list[str]
    publisher: str
    version: str


class IntegrationStream(BaseModel):
    """A kind of data that it syncs."""

    name: str
    label: str
    object_type: str
    writable: bool


class IntegrationSetting(BaseModel):
    """A value that somebody has to give."""

    name: str
    label: str
    kind: str
    step: str
    required: bool
    help: str


class IntegrationAuth(BaseModel):
    """A way to connect. `person`: somebody has to consent at the vendor, by a connect link."""

    name: str
    kind: str
    person: bool
    settings: list[IntegrationSetting]


class IntegrationDetails(Integration):
    """A listing with what it needs."""

    description: str
    streams: list[IntegrationStream]
    ways_to_connect: list[IntegrationAuth]
    settings: list[IntegrationSetting] = Field(description="To be given after it is connected.")


class Integrations(Page[Integration]):
    """Listings of the catalog."""


class CatalogQuery(PageQuery):
    """Which integrations."""

    q: Annotated[str, Field(max_length=100, description="Words of name, summary or category.")] = ""
    category: Annotated[str, Field(max_length=80)] = ""


def _shown(row: Any, manifest: Manifest) -> dict[str, Any]:
    return {
        "slug": row.slug, "name": row.name, "summary": row.summary, "categories": row.categories,
        "publisher": row.publisher, "version": manifest.version,
    }  # fmt: skip


def _settings(manifest: Manifest, auth: Auth, step: str) -> list[IntegrationSetting]:
    return [
        IntegrationSetting(name=f.name, label=f.label, kind=f.kind, step=f.step, required=f.required, help=f.help)
        for f in manifest.config_for(auth, step)
    ]


@noun.get("/integrations", scope="list", query=CatalogQuery, answer=Integrations, tenant=False)
def list_integrations(query: CatalogQuery) -> Integrations:
    """List the catalog"""
    (start,) = unpack(query.cursor, int) or (0,)
    filters = Filters(query.q, query.category, sort="name")
    start = min(max(start, 0), 100_000)
    found = catalog.search(filters, start=start, limit=query.limit)
    end = start + len(found.listings)
    return Integrations(
        data=[
            Integration.model_validate(_shown(row, listings.manifest_of(row.current_version)))
            for row in found.listings if row.current_version
        ],
        next=pack(end) if end < found.total else None,
    )  # fmt: skip


@noun.get("/integrations/<slug>", scope="list", answer=IntegrationDetails, tenant=False)
def show_integration(slug: str) -> IntegrationDetails:
    """Show an integration with what it needs"""
    row = listings.get_listing(slug)
    assert row.current_version is not None
    manifest = listings.manifest_of(row.current_version)
    return IntegrationDetails.model_validate(
        _shown(row, manifest)
        | {
            "description": manifest.listing.description,
            "streams": [
                {"name": s.name, "label": s.label, "object_type": s.object_type, "writable": s.writes is not None}
                for s in manifest.streams
            ],
            "ways_to_connect": [
                {
                    "name": a.name,
                    "kind": a.kind,
                    "person": a.kind == "oauth2",
                    "settings": _settings(manifest, a, "connect"),
                }
                for a in manifest.auths()
            ],
            "settings": _settings(manifest, manifest.auth, "configure"),
        }
    )
