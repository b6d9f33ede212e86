"""The SQL of a page's failed records: kept with sealed payload, retried alone, resolved once they are written."""

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

_KEEP_PAYLOAD = timedelta(days=14)


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


def write_failures(sql: Raw, context: PageContext, failures: list[Failure]) -> None:
    """Keep the records that could not be written, payload sealed; one that is parked or ignored stays so."""
    if not failures:
        return
    failures = list({failure.external_id: failure for failure in failures}.values())
    ring: KeyRing = current_app.extensions["keys"]
    sealed = [
        # Bound to the installation: the row's own id is not known when it was there before.
        ring.seal(
            "token",
            orjson.dumps(failure.payload),
            Seal(context.tenant_id, context.installation_id, f"payload:{context.stream}:{failure.external_id}", 1),
        )
        for failure in failures
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
            context.tenant_id, context.installation_id, context.stream, context.run_id, now() + _KEEP_PAYLOAD,
            uuids(raw_ids(len(failures))), texts([failure.external_id for failure in failures]),
            texts([failure.code for failure in failures]), texts([failure.field or "" for failure in failures]),
            texts([failure.message[:500] for failure in failures]), texts([failure.title for failure in failures]),
            texts([failure.match_value or "" for failure in failures]), blobs(sealed),
        ),
    )  # fmt: skip


def resolve_failures(sql: Raw, context: PageContext, external_ids: list[str]) -> None:
    """Mark failed records that have now been written as resolved, and forget their payload."""
    if external_ids:
        sql.execute(
            "UPDATE failed_records SET state = 'resolved', resolved_at = now(), payload_sealed = NULL, retry_at = NULL "
            "WHERE tenant_id = %b AND installation_id = %b AND stream = %b AND external_id = ANY(%b) "
            "AND direction = 'in' AND state <> 'resolved'",
            (context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
        )
