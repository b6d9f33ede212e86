"""Doors: endpoints as a request finds them, in one round trip and before anybody is known."""

import uuid
from dataclasses import dataclass

from app.direct import Unit


@dataclass(frozen=True)
class Door:
    """An endpoint with all that decides about a request: its secrets still sealed, its version, what is synced."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    installation_id: uuid.UUID | None
    connector: str
    account: str | None
    host: str | None
    captures: bool
    version: uuid.UUID
    sealed: list[bytes] | None
    versions: list[int] | None
    streams: list[str] | None


_LOAD = """
SELECT e.tenant_id, e.id, e.installation_id, e.connector, e.account, e.host,
coalesce(e.capture_until > clock_timestamp(), false), coalesce(i.listing_version_id, p.current_version),
s.sealed, s.versions, (SELECT array_agg(f.stream) FROM installation_streams f WHERE f.tenant_id = e.tenant_id
AND f.installation_id = e.installation_id AND f.enabled)
FROM endpoints e LEFT JOIN installations i ON i.tenant_id = e.tenant_id AND i.id = e.installation_id
LEFT JOIN listings p ON p.slug = e.connector
LEFT JOIN LATERAL (SELECT array_agg(x.sealed ORDER BY x.version DESC) AS sealed,
array_agg(x.version ORDER BY x.version DESC) AS versions FROM endpoint_secrets x WHERE x.tenant_id = e.tenant_id
AND x.endpoint_id = e.id AND (x.expires_at IS NULL OR x.expires_at > clock_timestamp())) s ON true
WHERE e.tenant_id = b.tenant_id AND e.id = b.endpoint_id AND e.state <> 'removed' AND b.bound <> '' OFFSET 0"""
# The tenant is bound by the first part and read by the policies in the second, which needs its row and so comes after.
# Were it the other way round nothing would be seen, and so nothing taken.
_IN_ONE = (
    "WITH b AS MATERIALIZED (SELECT l.tenant_id, l.endpoint_id, "
    "set_config('patchbay.tenant', l.tenant_id::text, true) AS bound FROM "
)
_BY_ADDRESS = f"{_IN_ONE} lookup_hook(%b) l) SELECT d.* FROM b, LATERAL ({_LOAD}) d"  # noqa: S608  # constants only
_BY_ID = f"{_IN_ONE} (SELECT %b::uuid AS tenant_id, %b::uuid AS endpoint_id) l) SELECT d.* FROM b, LATERAL ({_LOAD}) d"  # noqa: S608  # as above
_OF_ACCOUNT = "SELECT tenant_id, endpoint_id FROM lookup_hook_account(%b, %b)"


def find(sql: Unit, address: str) -> Door | None:
    """Return the endpoint at an address, None when there is none."""
    rows = sql.read(_BY_ADDRESS, (address,))
    return Door(*rows[0]) if rows else None


def find_homes(sql: Unit, door: Door, account: str | None) -> list[Door]:
    """Return the endpoints that take the events of an account: its own one, or all that have it connected."""
    if door.installation_id is not None:
        # A vendor that names no account in its events has been told this address for one account only.
        return [door] if account in (None, door.account) else []
    places = sql.read(_OF_ACCOUNT, (door.connector, account))
    return [Door(*row) for place in places for row in sql.read(_BY_ID, place)]
