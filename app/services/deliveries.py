"""Deliveries: what a vendor sends is verified, then stored with the tasks that act on it, in one transaction.

The web's hottest path: one round trip to load, one to store. Nothing is parsed before it is verified, whatever is not
proved is refused with one and the same answer, and nothing is taken without a row.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
from flask import current_app

from app import queue
from app.arrays import texts, uuids
from app.clock import now
from app.crypto import Seal
from app.db import begin_with
from app.ids import new_id, raw_ids
from app.models.endpoints import Delivery
from app.services import endpoints, listings
from app.services.credentials import ring
from app.transaction import after_commit
from connectors.sdk import VendorDataError, webhooks
from connectors.sdk.schema.webhooks import Verify, Webhooks
from connectors.sdk.webhooks import Event

Raw = psycopg.Connection[Any]
KIND = "apply_hint"
# Of requests that were refused, or came again, so many an hour are kept for each endpoint; all are counted or refused.
KEPT_AN_HOUR = 200
# A delivery about more records than this has the whole stream read instead.
MOST_RECORDS = 500
_HEADERS = frozenset(
    {"content-type", "content-length", "content-encoding", "user-agent", "date", "webhook-id", "webhook-timestamp"}
)


@dataclass(frozen=True)
class Answer:
    """What the vendor is told: always plain text."""

    status: int
    text: str = ""
    headers: tuple[tuple[str, str], ...] = ()


TAKEN = Answer(200, "ok\n")
REFUSED = Answer(401, "Not accepted.\n")


@dataclass(frozen=True)
class Door:
    """An endpoint as a request finds it."""

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


_FIND = (
    "SELECT l.tenant_id, l.endpoint_id, set_config('patchbay.tenant', l.tenant_id::text, true) FROM lookup_hook(%b) l"
)
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
WHERE e.state <> 'removed' AND """
_BY_ADDRESS = _LOAD + "e.address = %b"
_BY_ID = _LOAD + "e.tenant_id = %b AND e.id = %b"


def receive(address: str, delivery: webhooks.Delivery) -> Answer:
    """Verify a request and store it with its tasks. The caller has opened the transaction and sent nothing in it yet.

    An unknown address answers as a wrong signature does, after the same round trips.
    """
    raw, (_, found) = begin_with((_FIND, (address,)), (_BY_ADDRESS, (address,)))
    row = found.fetchone()
    if row is None:
        _refuse(raw, new_id(), new_id(), delivery, Verify(), "bad_signature", None)
        return REFUSED
    door = Door(*row)
    hooks = listings.manifest_of(door.version).webhooks
    if hooks is None:
        return REFUSED
    asked = _unsigned_handshake(door, hooks, delivery)
    if asked is not None:
        return asked
    verdict = _verify(door, hooks, delivery)
    if verdict != "accepted" or delivery.method != "POST":
        kind = "stale" if verdict == "stale" else "bad_signature"
        note = verdict if verdict in ("no_secret", "no_signature") else None
        _refuse(raw, door.tenant_id, door.id, delivery, hooks.verify, kind, note)
        return REFUSED
    return _take(raw, door, hooks, delivery)


def _verify(door: Door, hooks: Webhooks, delivery: webhooks.Delivery) -> str:
    pairs = zip(door.sealed or (), door.versions or (), strict=True)
    secrets = [endpoints.open_secret(ring(), sealed, door.tenant_id, door.id, version) for sealed, version in pairs]
    try:
        return webhooks.verify(hooks.verify, delivery, secrets, now())
    except VendorDataError:
        return "no_secret"  # What is kept is not written as the manifest says: nothing can be verified with it.


def _unsigned_handshake(door: Door, hooks: Webhooks, delivery: webhooks.Delivery) -> Answer | None:
    """Answer a question that comes before there is a signature; one that brings the secret is believed only while there
    is none, or while a worker is registering the endpoint."""
    asked = hooks.handshake
    if asked is None or asked.kind in ("json_challenge", "intent"):
        return None
    if asked.kind == "echo_query":
        text = webhooks.handshake(asked, delivery)
        return None if text is None else Answer(200, text)
    if door.sealed and not door.captures:
        return None
    try:
        secret = webhooks.handshake(asked, delivery)
    except VendorDataError:
        return None
    if not secret or not secret.isascii() or not secret.isprintable():
        return None
    endpoint = endpoints.get(door.tenant_id, door.id)
    endpoints.retire_secrets(endpoint)
    endpoints.add_secret(endpoint, secret)
    endpoint.capture_until = None
    if asked.kind == "echo_header":
        return Answer(200, secret, ((asked.name, secret),))
    endpoint.state, endpoint.registered_at = "active", now()
    return TAKEN


def _take(raw: Raw, door: Door, hooks: Webhooks, delivery: webhooks.Delivery) -> Answer:
    """Store a verified request: each account's part with the installations that have that account."""
    try:
        text = webhooks.handshake(hooks.handshake, delivery) if hooks.handshake else None
        if text is not None:
            return Answer(200, text)
        parts = webhooks.by_account(hooks, delivery)
        event_ids = {account: webhooks.event_id(hooks, part).replace("\0", "") for account, part in parts.items()}
    except VendorDataError:
        _store(raw, door, hooks, delivery, hashlib.sha256(delivery.body).hexdigest(), {}, "unreadable")
        return TAKEN
    for account, part in parts.items():
        homes = _homes(raw, door, account)
        for home in homes:
            if home is not door:
                _bind(raw, home.tenant_id)
            hints = hints_of(webhooks.events(hooks, part), home.streams or ())
            _store(raw, home, hooks, part, event_ids[account], hints, None if hints else "nothing_for_us")
        if not homes:
            _bind(raw, door.tenant_id)
            _refuse(raw, door.tenant_id, door.id, part, hooks.verify, "unknown_account", (account or "")[:200])
    return TAKEN


def _homes(raw: Raw, door: Door, account: str | None) -> list[Door]:
    """Return the endpoints that take the events of an account: its own one, or all that have it connected."""
    if door.installation_id is not None:
        # A vendor that names no account in its events has been told this address for one account only.
        return [door] if account in (None, door.account) else []
    found: list[Door] = []
    query = "SELECT tenant_id, endpoint_id FROM lookup_hook_account(%b, %b)"
    for tenant_id, endpoint_id in raw.execute(query, (door.connector, account), binary=True).fetchall():
        _bind(raw, tenant_id)
        row = raw.execute(_BY_ID, (tenant_id, endpoint_id), binary=True).fetchone()
        if row is not None:
            found.append(Door(*row))
    return found


def _bind(raw: Raw, tenant_id: uuid.UUID) -> None:
    raw.execute("SELECT set_config('patchbay.tenant', %b, true)", (str(tenant_id),))


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


_STORE = """
WITH d AS (INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, verdict, note, method, headers, body, sealed,
size) VALUES (%b, %b, %b, %b, 'accepted', %b, %b, %b::jsonb, %b, %b, %b::int)
ON CONFLICT (tenant_id, endpoint_id, event_id) WHERE verdict = 'accepted' DO NOTHING RETURNING tenant_id, id)"""
_ACT = """, h AS (INSERT INTO hints (tenant_id, id, delivery_id, installation_id, stream, external_id, action)
SELECT d.tenant_id, i, d.id, %b, s, e, a FROM d, unnest(%b::uuid[], %b::text[], %b::text[], %b::text[]) AS v(i, s, e, a)),
g AS (INSERT INTO task_gates (tenant_id, lane) SELECT d.tenant_id, 'fast' FROM d WHERE NOT EXISTS
(SELECT 1 FROM task_gates o WHERE o.tenant_id = d.tenant_id AND o.lane = 'fast') ON CONFLICT DO NOTHING),
t AS (INSERT INTO tasks (tenant_id, id, lane, kind, key, ref, host, due_at)
SELECT d.tenant_id, i, 'fast', %b, k, %b, %b, now() FROM d, unnest(%b::uuid[], %b::text[]) AS w(i, k)
ON CONFLICT (tenant_id, kind, key) WHERE state in ('ready', 'leased') DO UPDATE SET
rerun = tasks.rerun OR tasks.state = 'leased', due_at = CASE WHEN tasks.state = 'leased' AND NOT tasks.rerun
THEN excluded.due_at ELSE least(tasks.due_at, excluded.due_at) END)"""
_STORED = " SELECT count(*) FROM d"


def _store(
    raw: Raw, door: Door, hooks: Webhooks, delivery: webhooks.Delivery, event_id: str,
    hints: Mapping[tuple[str, str], str], note: str | None,
) -> None:  # fmt: skip
    delivery_id = new_id()
    body, sealed = _kept(door, delivery_id, delivery.body)
    query, values = _STORE, (
        door.tenant_id, delivery_id, door.id, event_id, note, delivery.method, _headers(hooks.verify, hooks, delivery),
        body, sealed, len(delivery.body),
    )  # fmt: skip
    if hints:
        query, values = query + _ACT, (*values, *_acts(door, hints))
    row = raw.execute(query + _STORED, values, binary=True).fetchone()
    if row is None or not row[0]:
        _note_copy(raw, door, hooks, delivery, event_id)
    elif hints:
        url = current_app.extensions["settings"].redis_url.get_secret_value()
        after_commit(lambda: queue.ring_if_quiet(url, "fast"))


def _acts(door: Door, hints: Mapping[tuple[str, str], str]) -> tuple[Any, ...]:
    # In one order, so that two deliveries about the same records do not wait for each other.
    ordered = sorted(hints)
    streams, ids = [stream for stream, _ in ordered], [external_id for _, external_id in ordered]
    actions = [hints[key] for key in ordered]
    tasks = [task_key(door.installation_id, stream, external_id) for stream, external_id in ordered]
    return (
        door.installation_id, uuids(raw_ids(len(ordered))), texts(streams), texts(ids), texts(actions),
        KIND, door.installation_id, door.host, uuids(raw_ids(len(ordered))), texts(tasks),
    )  # fmt: skip


def task_key(installation_id: uuid.UUID | None, stream: str, external_id: str) -> str:
    """Return the key of the task that acts on what was said about a record: one at a time for each."""
    return f"{installation_id}:{stream}:{external_id}"


def _kept(door: Door, delivery_id: uuid.UUID, body: bytes) -> tuple[bytes, bool]:
    """Return the body as it is stored, and whether sealed: where the connector marks fields as sensitive it is."""
    if not any(field.sensitive for stream in listings.manifest_of(door.version).streams for field in stream.fields):
        return body, False
    return ring().seal("hook", body, body_seal(door.tenant_id, delivery_id)), True


def body_seal(tenant_id: uuid.UUID, delivery_id: uuid.UUID) -> Seal:
    """Return what a sealed body is bound to."""
    return Seal(tenant_id, delivery_id, "body", 1)


def _headers(verify: Verify, hooks: Webhooks | None, delivery: webhooks.Delivery) -> str:
    """Return the headers that are kept, as JSON; of a signature only that there was one."""
    named = {verify.timestamp_header or "", (hooks.event_id_header if hooks else None) or ""}
    wanted = _HEADERS | {name.lower() for name in named}
    kept = {name: value[:500] for name, value in delivery.headers.items() if name in wanted}
    for name in ("webhook-signature" if verify.kind == "standard_webhooks" else verify.header.lower(), "authorization"):
        if name in delivery.headers:
            kept[name] = "[kept out]"
    return orjson.dumps(kept).decode()


_KEEP = """
INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, verdict, note, method, headers, body, size)
SELECT e.tenant_id, %b, e.id, %b, %b::text, %b, %b, %b::jsonb, %b, %b::int FROM endpoints e
WHERE e.tenant_id = %b AND e.id = %b AND (SELECT count(*) FROM (SELECT 1 FROM deliveries d
WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id AND d.verdict <> 'accepted' AND d.verdict = %b::text
AND d.created_at > now() - interval '1 hour' LIMIT %b::int) AS r) < %b::int
"""


def _refuse(
    raw: Raw, tenant_id: uuid.UUID, endpoint_id: uuid.UUID, delivery: webhooks.Delivery, verify: Verify, verdict: str,
    note: str | None, *, hooks: Webhooks | None = None, event_id: str | None = None, body: bytes | None = None,
) -> None:  # fmt: skip
    """Keep what was refused, as far as there is room; a crash may lose it."""
    values = (
        new_id(), event_id or hashlib.sha256(delivery.body).hexdigest(), verdict, note, delivery.method,
        _headers(verify, hooks, delivery), body, len(delivery.body), tenant_id, endpoint_id, verdict, KEPT_AN_HOUR,
        KEPT_AN_HOUR,
    )  # fmt: skip
    if verdict != "duplicate":
        raw.execute("SELECT set_config('synchronous_commit', 'off', true)")
    raw.execute(_KEEP, values)


def _note_copy(raw: Raw, door: Door, hooks: Webhooks, delivery: webhooks.Delivery, event_id: str) -> None:
    raw.execute(
        "UPDATE deliveries SET copies = copies + 1, copied_at = clock_timestamp() WHERE tenant_id = %b "
        "AND endpoint_id = %b AND event_id = %b AND verdict = 'accepted'",
        (door.tenant_id, door.id, event_id),
    )
    _refuse(raw, door.tenant_id, door.id, delivery, hooks.verify, "duplicate", None, hooks=hooks, event_id=event_id)


def open_body(delivery: Delivery) -> bytes:
    """Return the body of a stored delivery, empty once it has been deleted."""
    if delivery.body is None or not delivery.sealed:
        return delivery.body or b""
    return ring().open("hook", delivery.body, body_seal(delivery.tenant_id, delivery.id))
