"""What an installation may do at both sides, beside what it did in 30 days."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from app.clock import now
from app.db import db
from app.ids import first_at
from app.models.connections import Connection
from app.models.endpoints import Delivery, Endpoint
from app.models.installations import InstallationStream
from app.services.freshness import StreamFacts
from app.services.stream_volumes import DAYS
from connectors.sdk import Manifest
from connectors.sdk.manifest import Stream
from connectors.sdk.mapping_types import flows

OPERATIONS = ("create", "update", "delete")
MOST_WEBHOOKS = 10_000


@dataclass(frozen=True)
class Permission:
    """A permission that the connection asks the account for, with the reason that the manifest gives."""

    name: str
    reason: str
    optional: bool
    granted: bool


@dataclass(frozen=True)
class Power:
    """One operation: why it may not be done, empty where it may; and how often it was done in 30 days."""

    why_not: str
    count: int


@dataclass(frozen=True)
class StreamPowers:
    """What may be done with one stream: read there; create, update and delete there and here."""

    stream: str
    label: str
    object_type: str
    read: Power
    there: dict[str, Power]
    here: dict[str, Power]


def permissions_of(manifest: Manifest, connection: Connection) -> list[Permission]:
    """Return the permissions of the way to authorise that is in use; none where a key decides on its own."""
    left_out = connection.settings.get("left_out") or ()
    return [
        Permission(scope.name, scope.reason, scope.optional, scope.name not in left_out)
        for scope in manifest.auth_for(connection.settings).scopes
    ]


def powers_of(
    manifest: Manifest, connection: Connection, installed: Iterable[InstallationStream], done: Iterable[StreamFacts]
) -> list[StreamPowers]:
    """Return what each stream that is synced, or was within 30 days, may do and did."""
    facts = {item.stream: item for item in done}
    return [
        _of_stream(manifest, connection, stream, facts[stream.stream])
        for stream in installed
        if stream.stream in facts
    ]  # fmt: skip


def _of_stream(
    manifest: Manifest, connection: Connection, installed: InstallationStream, done: StreamFacts
) -> StreamPowers:  # fmt: skip
    declared, off = manifest.stream(installed.stream), "" if installed.enabled else "It is not synced any more."
    inwards = "" if flows(installed.direction, "in") else "Its direction is out only."
    here = {"create": off or inwards, "update": off or inwards, "delete": off or inwards or _deletes(installed)}
    counts = {"create": done.moved.created, "update": done.moved.updated, "delete": done.moved.deleted}
    return StreamPowers(
        installed.stream, declared.label, installed.object_type, Power(off, done.moved.read),
        {
            name: Power(off or _why_not_there(manifest, connection, installed, declared, name), done.moved.written[name])
            for name in OPERATIONS
        },
        {name: Power(here[name], counts[name]) for name in OPERATIONS},
    )  # fmt: skip


def _deletes(installed: InstallationStream) -> str:
    return "" if installed.delete_policy == "mirror" else "Deletes of one side are not carried over."


def _why_not_there(
    manifest: Manifest, connection: Connection, installed: InstallationStream, declared: Stream, name: str
) -> str:  # fmt: skip
    vendor, writes = manifest.listing.name, declared.writes
    if not flows(installed.direction, "out"):
        return f"Its direction is in only: nothing is written to {vendor}."
    if writes is None or not (getattr(writes, name) or (name == "update" and writes.batch_update)):
        return f"{vendor} offers no way to do this from here."
    if writes.scope and writes.scope in (connection.settings.get("left_out") or ()):
        return f"The permission {writes.scope} was not given."
    return _deletes(installed) if name == "delete" else ""


def count_webhooks(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> int:
    """Return how many webhooks were taken in 30 days; beyond MOST_WEBHOOKS counting stops."""
    taken = (
        select(Delivery.id)
        .join(Endpoint, (Endpoint.tenant_id == Delivery.tenant_id) & (Endpoint.id == Delivery.endpoint_id))
        .where(
            Endpoint.tenant_id == tenant_id, Endpoint.installation_id == installation_id,
            Delivery.verdict == "accepted", Delivery.id >= first_at(now() - timedelta(days=DAYS)),
        )
        .limit(MOST_WEBHOOKS + 1)
    )  # fmt: skip
    return db.session.scalar(select(func.count()).select_from(taken.subquery())) or 0
