"""Deliveries: what a vendor sends is verified, then stored with the tasks that act on it, in one transaction.

The web's hottest path: one round trip to load, one to store. Nothing is parsed before it is verified, whatever is not
proved is refused with one and the same answer, and nothing is taken without a row.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from app.clock import now
from app.direct import Unit
from app.ids import new_id
from app.services import doors, endpoints, inbox, listings
from app.services.credentials import ring
from app.services.doors import Door
from app.services.inbox import Stored
from connectors.sdk import VendorDataError, webhooks
from connectors.sdk.schema.webhooks import Verify, Webhooks
from connectors.sdk.webhooks import Event

# A delivery about more records than this has the whole stream read instead.
MOST_RECORDS = 500


@dataclass(frozen=True)
class Answer:
    """What the vendor is told: always plain text."""

    status: int
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Received:
    """What came of a request. `brought` is a secret that a handshake has brought; `stored` what was stored of it."""

    answer: Answer
    door: Door | None = None
    brought: str | None = None
    stored: list[Stored] = field(default_factory=list)

    @property
    def wakes(self) -> bool:
        """Whether there is something new for a worker. Known once the transaction is over."""
        return any(stored.new and stored.acts for stored in self.stored)

    @property
    def copies(self) -> list[Stored]:
        """What had been stored before. Known once the transaction is over."""
        return [stored for stored in self.stored if not stored.new]


TAKEN = Answer(200, "ok\n")
REFUSED = Answer(401, "Not accepted.\n")


def receive(sql: Unit, address: str, delivery: webhooks.Delivery) -> Received:
    """Verify a request and store it with its tasks.

    An unknown address answers as a wrong signature does, after the same round trips.
    """
    door = doors.find(sql, address)
    if door is None:
        inbox.refuse(sql, (new_id(), new_id()), Verify(), None, delivery, "bad_signature", None)
        return Received(REFUSED)
    hooks = listings.manifest_of(door.version).webhooks
    if hooks is None:
        return Received(REFUSED)
    asked = _unsigned_handshake(door, hooks, delivery)
    if asked is not None:
        return asked
    verdict = _verify(door, hooks, delivery)
    if verdict != "accepted" or delivery.method != "POST":
        kind = "stale" if verdict == "stale" else "bad_signature"
        note = verdict if verdict in ("no_secret", "no_signature") else None
        inbox.refuse(sql, (door.tenant_id, door.id), hooks.verify, hooks, delivery, kind, note)
        return Received(REFUSED)
    return _take(sql, door, hooks, delivery)


def _verify(door: Door, hooks: Webhooks, delivery: webhooks.Delivery) -> str:
    keys = ring()
    pairs = zip(door.sealed or (), door.versions or (), strict=True)
    secrets = [endpoints.open_secret(keys, sealed, door.tenant_id, door.id, version) for sealed, version in pairs]
    try:
        return webhooks.verify(hooks.verify, delivery, secrets, now())
    except VendorDataError:
        return "no_secret"  # What is kept is not written as the manifest says: nothing can be verified with it.


def _unsigned_handshake(door: Door, hooks: Webhooks, delivery: webhooks.Delivery) -> Received | None:
    """Answer a question that comes before there is a signature; one that brings the secret is believed only while there
    is none, or while a worker is registering the endpoint."""
    asked = hooks.handshake
    if asked is None or asked.kind in ("json_challenge", "intent"):
        return None
    if asked.kind == "echo_query":
        text = webhooks.handshake(asked, delivery)
        return None if text is None else Received(Answer(200, text))
    if door.sealed and not door.captures:
        return None
    try:
        secret = webhooks.handshake(asked, delivery)
    except VendorDataError:
        return None
    if not secret or not secret.isascii() or not secret.isprintable():
        return None
    echo = Answer(200, secret, ((asked.name, secret),))
    return Received(echo if asked.kind == "echo_header" else TAKEN, door, secret)


def keep_brought(door: Door, secret: str) -> None:
    """Keep the secret that a handshake has brought; the door's tenant is bound."""
    endpoint = endpoints.get(door.tenant_id, door.id)
    endpoints.retire_secrets(endpoint)
    endpoints.add_secret(endpoint, secret)
    endpoint.capture_until = None
    endpoint.state, endpoint.registered_at = "active", endpoint.registered_at or now()


def _take(sql: Unit, door: Door, hooks: Webhooks, delivery: webhooks.Delivery) -> Received:
    """Store a verified request: each account's part with the installations that have that account."""
    received = Received(TAKEN, door)
    try:
        text = webhooks.handshake(hooks.handshake, delivery) if hooks.handshake else None
        if text is not None:
            return Received(Answer(200, text))
        parts = webhooks.by_account(hooks, delivery)
        event_ids = {account: webhooks.event_id(hooks, part).replace("\0", "") for account, part in parts.items()}
    except VendorDataError:
        event_id = hashlib.sha256(delivery.body).hexdigest()
        received.stored.append(inbox.store(sql, door, hooks, delivery, event_id, {}, "unreadable"))
        return received
    for account, part in parts.items():
        homes = doors.find_homes(sql, door, account)
        for home in homes:
            hints = hints_of(webhooks.events(hooks, part), home.streams or ())
            note = None if hints else "nothing_for_us"
            received.stored.append(inbox.store(sql, home, hooks, part, event_ids[account], hints, note))
        if not homes:
            place = door.tenant_id, door.id
            inbox.refuse(
                sql, place, hooks.verify, hooks, part, "unknown_account", (account or "")[:200], alone=False, verified=door
            )  # fmt: skip
    return received


def hints_of(events: Iterable[Event], streams: Collection[str]) -> dict[tuple[str, str], str]:
    """Return (stream, external id) -> action for the streams that are synced; an empty id is the whole stream.

    A delete says only that the record may be gone when it is looked for, so of several actions it is the one kept.
    """
    found: dict[tuple[str, str], str] = {}
    for event in events:
        if event.stream not in streams or len(event.record_id or "") > 500 or "\0" in (event.record_id or ""):
            continue
        key = event.stream, event.record_id or ""
        found[key] = event.action if found.get(key) != "delete" else "delete"
    if len(found) > MOST_RECORDS:
        return {(stream, ""): "resync" for stream in sorted({stream for stream, _ in found})}
    return found
