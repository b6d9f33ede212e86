"""An installation goes to another version of its connector: settings move, streams are read again without deletes."""

import uuid

from sqlalchemy import select

from app.clock import now
from app.db import db
from app.errors import ConflictError
from app.models.installations import Installation
from app.models.listings import Listing, ListingVersion
from app.services import audit, connections, installations, listings
from connectors.sdk import Manifest
from connectors.sdk.upgrades import upgrade


def newer_version(installation: Installation) -> ListingVersion | None:
    """Return the version that the listing offers now, None when the installation has it."""
    found = db.session.scalar(
        select(ListingVersion)
        .join(Listing, Listing.current_version == ListingVersion.id)
        .where(Listing.slug == installation.connector)
    )
    return found if found and found.id != installation.listing_version_id else None


def upgrade_installation(tenant_id: uuid.UUID, installation: Installation) -> Manifest:
    """Bring an installation to the listing's present version; return its manifest. ConflictError when it has it.

    Cursors of streams that are read again are forgotten; the full pass that follows deletes nothing, because the first
    pass of another kind of reading is no proof that a record is gone.
    """
    version = newer_version(installation)
    if version is None:
        raise ConflictError("This installation has the newest version already.")
    old, new = listings.manifest_of(installation.listing_version_id), listings.manifest_of(version.id)
    connection = connections.get_connection(tenant_id, installation.connection_id)
    connection.settings, again = upgrade(old, new, connection.settings)
    installation.settings, _ = upgrade(old, new, installation.settings)
    installation.listing_version_id, installation.updated_at = version.id, now()
    known = {stream.stream: stream for stream in installations.list_streams(tenant_id, installation.id)}
    for stream in new.streams:
        if stream.name not in known:
            installations.add_stream(installation, stream, enabled=False)
    for name in again & known.keys():
        known[name].since, known[name].full_pass_due, known[name].last_complete_at = None, True, None
    audit.write(
        tenant_id, "installation.upgraded", "installation", str(installation.id), installation.name,
        before=old.version, after=new.version,
    )  # fmt: skip
    return new
