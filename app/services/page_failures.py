"""The SQL of a page's failed records: kept with sealed payload, retried alone, resolved once they are written."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from flask import current_app

from app.arrays import blobs, texts, uuids
from app.clock import now
from app.crypto import KeyRing, Seal
from app.ids import raw_ids
from app.services.page_context import PageContext
from app.services.page_writes import Raw

# Longer messages are cut.
MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that could not be written, and why in words for the customer. `match_value`: what it is looked for by."""

    external_id: str
    code: str
    field: str | None
    message: str
    title: str
    payload: Any
    match_value: str | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """A value a person gave, and the message about the one that did not fit: another bad value is not replaced by it."""

    value: Any
    instead_of: str


def find_given(sql: Raw, context: PageContext, external_ids: list[str]) -> dict[str, dict[str, Given]]:
    """Return external id -> field -> the value that a person gave instead of one that does not fit."""
    rows = sql.execute(
        "SELECT external_id, override FROM failed_records WHERE tenant_id = %b AND installation_id = %b "
        "AND stream = %b AND external_id = ANY(%b) AND direction = 'in' AND override IS NOT NULL",
        (context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
    )
    return {
        row[0]: {name: Given(item["value"], item["instead_of"]) for name, item in row[1].items()} for row in rows
    }  # fmt: skip


def write_failures(sql: Raw, context: PageContext, failures: list[Failure]) -> None:
    """Keep the records that could not be written, payload sealed; one that is parked or ignored stays so."""
    if not failures:
        return
    failures = list({failure.external_id: failure for failure in failures}.values())
    ring: KeyRing = current_app.extensions["keys"]
    kept = timedelta(days=current_app.extensions["settings"].keep_payloads_days)
    place = context.tenant_id, context.installation_id, context.stream
    sealed = [
        ring.seal("token", orjson.dumps(failure.payload), seal_of(*place, failure.external_id)) for failure in failures
    ]
    sql.execute(
        "INSERT INTO failed_records AS f (tenant_id, id, installation_id, stream, external_id, run_id, code, field, "
        "message, title, match_value, payload_sealed, payload_until, retry_at) SELECT %b, i, %b, %b, e, %b::uuid, c, "
        "nullif(d, ''), m, t, nullif(k, ''), p, %b, now() + interval '1 minute' "
        "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[]) "
        "AS u(i, e, c, d, m, t, k, p) "
        "ON CONFLICT (tenant_id, installation_id, stream, external_id, direction) DO UPDATE SET run_id = excluded.run_id, "
        "code = excluded.code, field = excluded.field, message = excluded.message, title = excluded.title, "
        "match_value = excluded.match_value, payload_sealed = excluded.payload_sealed, "
        "payload_until = excluded.payload_until, last_failed_at = now(), "
        "state = CASE WHEN f.state = 'resolved' THEN 'waiting' ELSE f.state END, "
        "tries = CASE WHEN f.state = 'resolved' THEN 1 ELSE f.tries END, "
        "retry_at = CASE WHEN f.state = 'resolved' THEN excluded.retry_at ELSE f.retry_at END, resolved_at = NULL",
        (
            context.tenant_id, context.installation_id, context.stream, context.run_id, now() + kept,
            uuids(raw_ids(len(failures))), texts([failure.external_id for failure in failures]),
            texts([failure.code for failure in failures]), texts([failure.field or "" for failure in failures]),
            texts([failure.message[:MESSAGE] for failure in failures]), texts([failure.title for failure in failures]),
            texts([failure.match_value or "" for failure in failures]), blobs(sealed),
        ),
    )  # fmt: skip


def resolve_doubts(sql: Raw, context: PageContext, record_ids: list[uuid.UUID]) -> None:
    """These records were found at the other side: whether they were created there is in doubt no longer."""
    sql.execute(
        "UPDATE failed_records SET state = 'resolved', resolved_at = now(), retry_at = NULL WHERE tenant_id = %b "
        "AND installation_id = %b AND stream = %b AND record_id = ANY(%b) AND direction = 'out' "
        "AND code = 'in_doubt' AND state <> 'resolved'",
        (context.tenant_id, context.installation_id, context.stream, uuids(record_ids)),
    )


def resolve_unseen(sql: Raw, context: PageContext) -> None:
    """A full pass has been read to its end: what had no id before and was not met again is there no longer."""
    sql.execute(
        "UPDATE failed_records SET state = 'resolved', resolved_at = now(), payload_sealed = NULL, retry_at = NULL "
        "WHERE tenant_id = %b AND installation_id = %b AND stream = %b AND direction = 'in' AND code = 'no_id' "
        "AND run_id IS DISTINCT FROM %b::uuid AND state <> 'resolved'",
        (context.tenant_id, context.installation_id, context.stream, context.run_id),
    )


def seal_of(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, external_id: str) -> Seal:
    """Return what a kept payload is bound to: its installation, as the row's own id is not known when it is sealed."""
    return Seal(tenant_id, installation_id, f"payload:{stream}:{external_id}", 1)


def resolve_failures(sql: Raw, context: PageContext, external_ids: list[str]) -> Iterable[tuple[str]]:
    """Mark failed records that have now been written as resolved, and forget their payload.

    Returns a cursor over the external ids of those that had failed; inside a pipeline it is read after its end.
    """
    if not external_ids:
        return ()
    return sql.execute(
        "UPDATE failed_records SET state = 'resolved', resolved_at = now(), payload_sealed = NULL, retry_at = NULL "
        "WHERE tenant_id = %b AND installation_id = %b AND stream = %b AND external_id = ANY(%b) "
        "AND direction = 'in' AND state <> 'resolved' RETURNING external_id",
        (context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
    )
