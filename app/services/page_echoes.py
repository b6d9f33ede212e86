"""The SQL of the echo ledger: our own writes of the last day, told apart from changes by somebody else."""

import uuid
from collections.abc import Sequence

from app.arrays import texts, uuids
from app.services.page_context import PageContext
from app.services.page_writes import Raw
from app.sync.echoes import KEPT, Echo
from app.sync.plan import Plan


def find(sql: Raw, context: PageContext, external_ids: Sequence[str]) -> dict[str, tuple[Echo, ...]]:
    """Return external id -> our writes to it that have not come back yet, newest first."""
    rows = sql.execute(
        "SELECT external_id, id, fields, sent_hash, answer_hash FROM intents WHERE tenant_id = %b "
        "AND installation_id = %b AND stream = %b AND external_id = ANY(%b) AND sent_at > clock_timestamp() - %b "
        "AND sent_hash IS NOT NULL AND echoed_at IS NULL AND operation <> 'delete' ORDER BY id DESC",
        (context.tenant_id, context.installation_id, context.stream, texts(external_ids), KEPT),
        binary=True,
    )
    found: dict[str, tuple[Echo, ...]] = {}
    for external_id, *echo in rows:
        found[external_id] = (*found.get(external_id, ()), Echo(echo[0], tuple(echo[1]), echo[2], echo[3]))
    return found


def note(sql: Raw, context: PageContext, plan: Plan) -> None:
    """Mark writes whose echo has come, each once, and count those that something similar came for."""
    for ids, change in ((plan.consumed, "echoed_at = now()"), (plan.near, "near_misses = near_misses + 1")):
        if ids:
            _mark(sql, context.tenant_id, ids, change)


def _mark(sql: Raw, tenant_id: uuid.UUID, ids: Sequence[uuid.UUID], change: str) -> None:
    sql.execute(
        f"UPDATE intents SET {change} WHERE tenant_id = %b AND id = ANY(%b)",  # noqa: S608  # our own two texts
        (tenant_id, uuids(ids)),
    )
