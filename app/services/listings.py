"""The catalog: listings and their immutable versions."""

import uuid
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import func, select

from app.clock import now
from app.db import db
from app.errors import NotFoundError
from app.models.listings import Listing, ListingVersion
from app.services import listing_facts
from connectors import registry
from connectors.sdk import Connector, Manifest, canonical
from connectors.sdk.readiness import Item, Subject, readiness


@dataclass(frozen=True)
class _Stored:
    slug: str
    manifest: str


def import_first_party() -> int:
    """Store every connector of the registry; a changed manifest becomes a new version. Return how many are new."""
    added = 0
    for connector in registry.all_connectors():
        manifest = connector.manifest
        listing = db.session.scalar(select(Listing).where(Listing.slug == manifest.slug))
        if listing is None:
            listing = Listing(slug=manifest.slug, name="", summary="", categories=[])
            db.session.add(listing)
            db.session.flush()  # The version refers to it.
        known = select(ListingVersion).where(ListingVersion.listing_id == listing.id)
        version = db.session.scalar(known.where(ListingVersion.digest == connector.digest))
        if version is None:
            newest = db.session.scalar(
                select(func.max(ListingVersion.number)).where(ListingVersion.listing_id == listing.id)
            )
            version = ListingVersion(
                listing_id=listing.id, number=(newest or 0) + 1, label=manifest.version, digest=connector.digest,
                manifest=canonical(manifest).decode(), changes=manifest.changes,
            )  # fmt: skip
            db.session.add(version)
            db.session.flush()  # Its id is needed below.
            added += 1
        listing.current_version, listing.updated_at = version.id, now()
        for name, value in listing_facts.columns(manifest).items():
            setattr(listing, name, value)
    return added


def get_listing(slug: str) -> Listing:
    """Return a listing or raise NotFoundError."""
    found = db.session.scalar(select(Listing).where(Listing.slug == slug, Listing.current_version.is_not(None)))
    if found is None:
        raise NotFoundError("There is no such integration.")
    return found


def list_versions(listing_id: uuid.UUID) -> list[ListingVersion]:
    """Return the versions of a listing, newest first."""
    query = select(ListingVersion).where(ListingVersion.listing_id == listing_id)
    return list(db.session.scalars(query.order_by(ListingVersion.number.desc())))


def get_version(version_id: uuid.UUID) -> ListingVersion:
    """Return a version; one that is named exists."""
    return db.session.scalars(select(ListingVersion).where(ListingVersion.id == version_id)).one()


# Versions never change, so remembering them is safe; those that were not asked for for longest are forgotten.
_REMEMBERED = 512
_stored: OrderedDict[uuid.UUID, _Stored] = OrderedDict()
_lock = Lock()


def _remember(version_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, _Stored]:
    """Return stored versions, those that are not remembered read in one query."""
    with _lock:
        found = {version_id: _stored[version_id] for version_id in version_ids if version_id in _stored}
    missing = [version_id for version_id in version_ids if version_id not in found]
    if missing:
        rows = db.session.execute(
            select(ListingVersion.id, Listing.slug, ListingVersion.manifest)
            .join(Listing, ListingVersion.listing_id == Listing.id)
            .where(ListingVersion.id.in_(missing))
        )
        found |= {row[0]: _Stored(row[1], row[2]) for row in rows}
    with _lock:
        for version_id in version_ids:
            _stored[version_id] = found[version_id]
            _stored.move_to_end(version_id)
        while len(_stored) > _REMEMBERED:
            _stored.popitem(last=False)
    return found


def forget() -> None:
    """Forget every version, as a process that has just started."""
    with _lock:
        _stored.clear()


def connector_of(version_id: uuid.UUID) -> Connector:
    """Return the connector of a stored version: its canonical JSON is what runs."""
    stored = _remember([version_id])[version_id]
    return registry.connector_for(stored.manifest, stored.slug)


def preload() -> None:
    """Read the current version of each listing into memory."""
    query = select(Listing.current_version).where(Listing.current_version.is_not(None)).limit(_REMEMBERED)
    manifests_of(version_id for version_id in db.session.scalars(query) if version_id)


def manifest_of(version_id: uuid.UUID) -> Manifest:
    """Return the manifest of a stored version."""
    return connector_of(version_id).manifest


def manifests_of(version_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Manifest]:
    """Return the manifests of stored versions, in at most one query however many they are."""
    found = _remember(set(version_ids))
    return {key: registry.connector_for(item.manifest, item.slug).manifest for key, item in found.items()}


def guide_of(slug: str, *, whole: bool = True) -> str:
    """Return the setup guide of a first-party connector as Markdown, empty when it has none.

    Not `whole` it is what a customer does: neither the operator's part nor how the connector was verified.
    """
    try:
        file = registry.folder(slug) / "README.md"
    except KeyError:
        return ""
    text = file.read_text() if file.exists() else ""
    return text if whole else _customers_part(text)


def _customers_part(guide: str) -> str:
    part = guide.partition("## Set up\n")[2].partition("\n## ")[0].partition("For the operator")[0]
    return part.replace("For the customer:\n", "").strip()


def readiness_of(slug: str, manifest: Manifest) -> list[Item]:
    """Return how ready a first-party connector is, item by item; nothing for others, whose files are not here."""
    try:
        home = registry.folder(slug)
    except KeyError:
        return []
    tests = home.parents[1] / "tests" / "connectors" / slug.replace("-", "_")
    return readiness(Subject(manifest, home, tests))
