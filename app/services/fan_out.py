"""The fan-out: each event and each change of a record becomes a dispatch for every subscription that asks for it.

What is new is found by its state, never by `id > last`: transactions commit in another order than their ids were made,
and a reader that remembers how far it has come has lost 1,839 of 4,000 (reliability M11). One transaction marks a batch
as done and writes its dispatches, so each is made exactly once.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select

from app.arrays import blobs, texts, uuids
from app.clock import now
from app.db import bound_meanwhile, db
from app.event_types import RECORD_TYPES, TYPES, wants
from app.ids import raw_ids
from app.models.accounts import Tenant
from app.models.events import Subscription
from app.services import tasks
from app.services.page_writes import Raw, connection
from app.tenancy import PLATFORM_TENANT, scoped

BATCH = 500


@dataclass(frozen=True, slots=True)
class Message:
    """What has happened, as subscribers are told."""

    id: uuid.UUID
    type: str
    subject_id: uuid.UUID
    at: datetime
    data: Mapping[str, Any]


def message_id(event_id: uuid.UUID) -> str:
    """Return the id that an event is sent with, the same at each try."""
    return f"evt_{event_id}"


def spread(tenant_id: uuid.UUID) -> int:
    """Hand one batch of what is new in a tenant on to its subscriptions and the host's; return how many that were."""
    sql = connection()
    found = sorted([*_claim_changes(sql, tenant_id), *_claim_events(sql, tenant_id)], key=lambda row: row[0])
    messages = [row[1] for row in found if row[1] is not None]
    own = _active(tenant_id)
    host: list[Subscription] = []
    if tenant_id != PLATFORM_TENANT:
        with bound_meanwhile(PLATFORM_TENANT):
            host = _active(PLATFORM_TENANT)
    if messages and (own or host):
        bodies = write_bodies(sql, tenant_id, messages)
        _write(sql, tenant_id, own, bodies)
        if host:
            with bound_meanwhile(PLATFORM_TENANT):
                _write(sql, PLATFORM_TENANT, host, bodies)
    return len(found)


_CLAIM = (
    "WITH found AS MATERIALIZED (SELECT id FROM {table} WHERE tenant_id = %b AND fan_out = 'new' ORDER BY id "
    "LIMIT %b::int FOR NO KEY UPDATE SKIP LOCKED) UPDATE {table} t SET fan_out = 'done' FROM found "
    "WHERE t.tenant_id = %b AND t.id = found.id RETURNING {columns}"
)
_CHANGE = (
    "t.id, t.created_at, t.record_id, t.operation, t.object_type, t.after, t.before, t.writer, t.installation_id, "
    "t.run_id, t.external_id"
)
_CLAIM_CHANGES = _CLAIM.format(table="changes", columns=_CHANGE)
_CLAIM_EVENTS = _CLAIM.format(table="events", columns="t.id, t.created_at, t.type, t.subject_id, t.data")


def _claim_changes(sql: Raw, tenant_id: uuid.UUID) -> list[tuple[uuid.UUID, Message | None]]:
    rows = sql.execute(_CLAIM_CHANGES, (tenant_id, BATCH, tenant_id), binary=True)
    return [(row[0], _of_change(*row)) for row in rows]


def _of_change(
    change_id: uuid.UUID, at: datetime, record_id: uuid.UUID, operation: str, object_type: str, after: Any, before: Any,
    writer: str, installation_id: uuid.UUID | None, run_id: uuid.UUID | None, external_id: str | None,
) -> Message | None:  # fmt: skip
    if operation == "linked" and not after:
        return None  # Joined to a record of the other side; none of its values has changed.
    data = {
        "record_id": record_id, "object_type": object_type, "changed": after, "previous": before, "by": writer,
        "installation_id": installation_id, "run_id": run_id, "external_id": external_id,
    }  # fmt: skip
    return Message(change_id, RECORD_TYPES[operation], record_id, at, data)


def _claim_events(sql: Raw, tenant_id: uuid.UUID) -> list[tuple[uuid.UUID, Message | None]]:
    rows = sql.execute(_CLAIM_EVENTS, (tenant_id, BATCH, tenant_id), binary=True)
    return [(row[0], Message(row[0], row[2], row[3], row[1], row[4])) for row in rows]


def _active(tenant_id: uuid.UUID) -> list[Subscription]:
    query = scoped(Subscription, tenant_id).where(Subscription.state == "active").order_by(Subscription.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


Bodies = Sequence[tuple[Message, int, bytes]]


def write_bodies(sql: Raw, tenant_id: uuid.UUID, messages: Sequence[Message]) -> Bodies:
    """Return each message with its number among those of its subject, and the bytes that are sent."""
    tenant = db.session.execute(select(Tenant.id, Tenant.external_id).where(Tenant.id == tenant_id)).one()
    numbers = _next_numbers(sql, tenant_id, messages)
    bodies = []
    for message in messages:
        numbers[message.subject_id] += 1
        number = numbers[message.subject_id]
        body = {
            "type": message.type, "version": TYPES[message.type].version, "id": message_id(message.id),
            "timestamp": message.at, "tenant": {"id": tenant[0], "external_id": tenant[1]}, "sequence": number,
            "data": message.data,
        }  # fmt: skip
        bodies.append((message, number, orjson.dumps(body, option=orjson.OPT_UTC_Z)))
    return bodies


def _next_numbers(sql: Raw, tenant_id: uuid.UUID, messages: Sequence[Message]) -> dict[uuid.UUID, int]:
    """Count these messages, and return for each subject how many there were before. In id order, so locks are too."""
    counts: dict[uuid.UUID, int] = {}
    for message in messages:
        counts[message.subject_id] = counts.get(message.subject_id, 0) + 1
    rows = sql.execute(
        "INSERT INTO event_sequences (tenant_id, subject_id, sequence) SELECT %b, s, n FROM unnest(%b::uuid[], "
        "%b::text[]) AS t(s, c), LATERAL (SELECT c::bigint AS n) AS m ORDER BY s ON CONFLICT (tenant_id, subject_id) "
        "DO UPDATE SET sequence = event_sequences.sequence + excluded.sequence RETURNING subject_id, sequence",
        (tenant_id, uuids(list(counts)), texts([str(count) for count in counts.values()])),
        binary=True,
    )
    return {row[0]: row[1] - counts[row[0]] for row in rows}


def _write(sql: Raw, tenant_id: uuid.UUID, subscriptions: Sequence[Subscription], bodies: Bodies) -> None:
    """Write the dispatches of the bound tenant's subscriptions that ask for a message."""
    rows = [
        (subscription.id, message, number, body)
        for subscription in subscriptions
        for message, number, body in bodies
        if wants(subscription.types, subscription.object_types, subscription.fields, message.type, message.data)
    ]
    if rows:
        add_dispatches(sql, tenant_id, rows)


def add_dispatches(
    sql: Raw, tenant_id: uuid.UUID, rows: Sequence[tuple[uuid.UUID, Message, int, bytes]]
) -> list[uuid.UUID]:  # fmt: skip
    """Write dispatches of (subscription, message, sequence, body), and wake who sends them; return their ids."""
    ids = raw_ids(len(rows))
    sql.execute(
        "INSERT INTO dispatches (tenant_id, id, subscription_id, event_id, type, subject_id, sequence, body, due_at) "
        "SELECT %b, i, s, e, k, j, n::bigint, b, %b FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::text[], "
        "%b::uuid[], %b::text[], %b::bytea[]) AS t(i, s, e, k, j, n, b)",
        (
            tenant_id, now(), uuids(ids), uuids([row[0] for row in rows]), uuids([row[1].id for row in rows]),
            texts([row[1].type for row in rows]), uuids([row[1].subject_id for row in rows]),
            texts([str(row[2]) for row in rows]), blobs([row[3] for row in rows]),
        ),
    )  # fmt: skip
    wake(tenant_id)
    return [uuid.UUID(bytes=raw) for raw in ids]


def wake(tenant_id: uuid.UUID) -> None:
    """Have a worker send what is due of the bound tenant."""
    tasks.add_task(tenant_id, "send", "send_dispatches", "dispatches", max_attempts=20)
