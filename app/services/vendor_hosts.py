"""The vendor host that work for an installation will call: only so many tasks may call one at once."""

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, select, update

from app.db import db
from app.models.connections import Connection
from app.models.installations import Installation, Schedule
from app.services import listings
from connectors.sdk import ConfigError, Connector


def host_of(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> str | None:
    """Return host and port of an installation's vendor, None while its address is not known."""
    return _host(tenant_id, Installation.id == installation_id)


def host_of_connection(tenant_id: uuid.UUID, connection_id: uuid.UUID) -> str | None:
    """Return the same for the installation that has this connection."""
    return _host(tenant_id, Installation.connection_id == connection_id)


def keep_on_schedule(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Write the host on the schedule, for the dispatcher, which sees neither installation nor connection."""
    host = host_of(tenant_id, installation_id)
    db.session.execute(
        update(Schedule)
        .where(
            Schedule.tenant_id == tenant_id,
            Schedule.installation_id == installation_id,
            Schedule.host.is_distinct_from(host),
        )
        .values(host=host)
    )


def _host(tenant_id: uuid.UUID, condition: ColumnElement[bool]) -> str | None:
    same = (Connection.tenant_id == Installation.tenant_id) & (Connection.id == Installation.connection_id)
    row = db.session.execute(
        select(Installation.listing_version_id, Connection.settings, Installation.settings)
        .join(Connection, same)
        .where(Installation.tenant_id == tenant_id, condition)
    ).first()
    if row is None:
        return None
    return host_at(listings.connector_of(row[0]), {**row[1], **row[2]})


def host_at(connector: Connector, settings: Mapping[str, Any]) -> str | None:
    """Return the host and port that a connector calls with these settings, None while they do not say it."""
    try:
        origin = connector.origin(settings)
    except ConfigError:
        return None  # The host is made of a setting that has not been given yet.
    return urlsplit(origin).netloc.lower() or None
