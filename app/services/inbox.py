"""The inbox: the SQL that stores deliveries, and what is kept of a request."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from app.arrays import texts, uuids
from app.crypto import Seal
from app.direct import Answers, Unit
from app.ids import new_id, raw_ids
from app.models import endpoints as models
from app.services import listings
from app.services.credentials import ring
from app.services.doors import Door
from connectors.sdk.schema.webhooks import Verify, Webhooks
from connectors.sdk.webhooks import Delivery

KIND = "apply_hint"
# Of requests that were refused, or came again, so many an hour are kept for each endpoint; all are counted or refused.
KEPT_AN_HOUR = 200
_HEADERS = frozenset(
    {"content-type", "content-length", "content-encoding", "user-agent", "date", "webhook-id", "webhook-timestamp"}
)
_BIND = "SELECT set_config('patchbay.tenant', %b, true)"


@dataclass(frozen=True)
class Stored:
    """A delivery on its way into the inbox, and whether it acts on anything."""

    door: Door
    hooks: Webhooks
    delivery: Delivery
    event_id: str
    acts: bool
    answers: Answers

    @property
    def new(self) -> bool:
        """Whether it was not known before. Known once the transaction is over."""
        return bool(self.answers.row and self.answers.row[0])


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


def store(
    sql: Unit, door: Door, hooks: Webhooks, delivery: Delivery, event_id: str,
    hints: Mapping[tuple[str, str], str], note: str | None,
) -> Stored:  # fmt: skip
    """Store a delivery with what it says and the tasks that act on it, unless it is known: one statement."""
    delivery_id = new_id()
    body, sealed = _kept(door, delivery_id, delivery.body)
    query, values = _STORE, (
        door.tenant_id, delivery_id, door.id, event_id, note, delivery.method, _headers(hooks.verify, hooks, delivery),
        body, sealed, len(delivery.body),
    )  # fmt: skip
    if hints:
        query, values = query + _ACT, (*values, *_acts(door, hints))
    sql.last(_BIND, (str(door.tenant_id),))
    return Stored(door, hooks, delivery, event_id, bool(hints), sql.last(query + _STORED, values))


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
    if not _is_sensitive(door.version):
        return body, False
    return ring().lock(body, body_seal(door.tenant_id, delivery_id)), True


@lru_cache(maxsize=512)
def _is_sensitive(version: uuid.UUID) -> bool:
    # Versions never change, so remembering them is safe.
    return any(field.sensitive for stream in listings.manifest_of(version).streams for field in stream.fields)


def body_seal(tenant_id: uuid.UUID, delivery_id: uuid.UUID) -> Seal:
    """Return what a sealed body is bound to."""
    return Seal(tenant_id, delivery_id, "body", 1)


def _headers(verify: Verify, hooks: Webhooks | None, delivery: Delivery) -> str:
    """Return the headers that are kept, as JSON; of a signature only that there was one."""
    named = {verify.timestamp_header or "", (hooks.event_id_header if hooks else None) or ""}
    wanted = _HEADERS | {name.lower() for name in named}
    kept = {name: value[:500] for name, value in delivery.headers.items() if name in wanted}
    for name in ("webhook-signature" if verify.kind == "standard_webhooks" else verify.header.lower(), "authorization"):
        if name in delivery.headers:
            kept[name] = "[kept out]"
    return orjson.dumps(kept).decode()


_KEEP = """
INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, verdict, note, method, headers, body, sealed, size)
SELECT e.tenant_id, %b, e.id, %b, %b::text, %b, %b, %b::jsonb, %b, %b, %b::int FROM endpoints e
WHERE e.tenant_id = %b AND e.id = %b AND (SELECT count(*) FROM (SELECT 1 FROM deliveries d
WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.id AND d.verdict <> 'accepted' AND d.verdict = %b::text
AND d.created_at > now() - interval '1 hour' LIMIT %b::int) AS r) < %b::int
"""


def refuse(
    sql: Unit, place: tuple[uuid.UUID, uuid.UUID], verify: Verify, hooks: Webhooks | None,
    delivery: Delivery, verdict: str, note: str | None, *, event_id: str | None = None,
    alone: bool = True, verified: Door | None = None,
) -> None:  # fmt: skip
    """Keep what was not taken, as far as there is room; `alone` in its transaction, a crash may lose it.

    The body is kept only of what was `verified` at this door: anybody could send the others.
    """
    sql.last(_BIND, (str(place[0]),))
    if alone:
        sql.last("SELECT set_config('synchronous_commit', 'off', true)")
    event_id = event_id or hashlib.sha256(delivery.body).hexdigest()
    delivery_id = new_id()
    body, sealed = _kept(verified, delivery_id, delivery.body) if verified else (None, False)
    values = (
        delivery_id, event_id, verdict, note, delivery.method, _headers(verify, hooks, delivery), body, sealed,
        len(delivery.body), *place, verdict, KEPT_AN_HOUR, KEPT_AN_HOUR,
    )  # fmt: skip
    sql.last(_KEEP, values)


def note_copy(sql: Unit, copy: Stored) -> None:
    """Count a delivery that had been stored before, in a transaction of its own."""
    door = copy.door
    values = door.tenant_id, door.id, copy.event_id
    sql.last(_BIND, (str(door.tenant_id),))
    sql.last(
        "UPDATE deliveries SET copies = copies + 1, copied_at = clock_timestamp() WHERE tenant_id = %b "
        "AND endpoint_id = %b AND event_id = %b AND verdict = 'accepted'",
        values,
    )
    refuse(sql, values[:2], copy.hooks.verify, copy.hooks, copy.delivery, "duplicate", None, event_id=copy.event_id)


def open_body(row: models.Delivery) -> bytes:
    """Return the body of a stored delivery, empty once it has been deleted."""
    if row.body is None or not row.sealed:
        return row.body or b""
    return ring().unlock(row.body, body_seal(row.tenant_id, row.id))
