"""The SQL of a page's conflicts: those a person must settle, those a policy has decided, those that are over."""

import uuid
from collections.abc import Sequence
from typing import Any

from app.arrays import texts, uuids
from app.ids import raw_ids
from app.services.page_context import PageContext
from app.services.page_writes import Raw, as_json
from app.sync.merge import Clash
from app.sync.plan import Plan

_ROWS = (
    "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, key, candidates, record_id, "
    "base, ours, theirs, state, policy, resolution, settled_at, run_id) "
    "SELECT %b, i, %b, %b, e, k, %b, c::jsonb, r, b::jsonb, o::jsonb, t::jsonb, "
    "CASE WHEN p = '' THEN 'open' ELSE 'settled' END, nullif(p, ''), CASE WHEN p <> '' THEN 'policy' END, "
    "CASE WHEN p <> '' THEN now() END, %b::uuid "
    "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[], %b::text[], %b::text[], "
    "%b::text[]) AS t(i, e, k, c, r, b, o, t, p) "
    "ON CONFLICT (tenant_id, installation_id, stream, external_id) WHERE state = 'open' DO UPDATE SET "
    "kind = excluded.kind, candidates = excluded.candidates, record_id = excluded.record_id, base = excluded.base, "
    "ours = excluded.ours, theirs = excluded.theirs, run_id = excluded.run_id"
)
_NOBODY = uuid.UUID(int=0)
Row = tuple[str, str, list[str], uuid.UUID, dict[str, Any], dict[str, Any], dict[str, Any], str]


def write_conflicts(sql: Raw, context: PageContext, plan: Plan) -> None:
    """Open a conflict for what nobody may decide but a person, and keep what a policy has decided."""
    rows: list[Row] = [
        (item.external_id, "match", [str(hit) for hit in hits], _NOBODY, {}, {}, item.values, "")
        for item, hits in plan.conflicts
    ]
    for write in plan.writes:
        name, record_id = write.incoming.external_id, write.record_id
        if write.revived:
            rows.append((name, "deleted_here", [], record_id, {}, write.before, write.after, ""))
        if write.open:
            rows.append((name, "fields", [], record_id, *_sides(write.open), ""))
        if write.decided:
            policies = ", ".join(sorted({clash.policy for clash in write.decided}))
            rows.append((name, "fields", [], record_id, *_sides(write.decided), policies))
    insert_conflicts(sql, context, rows)


def _sides(clashes: Sequence[Clash]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    return (
        {clash.field: clash.base for clash in clashes},
        {clash.field: clash.ours for clash in clashes},
        {clash.field: clash.theirs for clash in clashes},
    )


def insert_conflicts(sql: Raw, context: PageContext, rows: Sequence[Row]) -> None:
    """Write conflicts: (external id, kind, candidates, record, base, ours, theirs, policy that decided or '').

    An open one of the same external record is brought up to date: there is one of each at a time.
    """
    if not rows:
        return
    names, kinds, candidates, records, bases, ours, theirs, policies = zip(*rows, strict=True)
    sql.execute(
        _ROWS,
        (
            context.tenant_id, context.installation_id, context.stream, context.match_key, context.run_id,
            uuids(raw_ids(len(rows))), texts(names), texts(kinds), texts([as_json(value) for value in candidates]),
            uuids(records), texts([as_json(value) for value in bases]), texts([as_json(value) for value in ours]),
            texts([as_json(value) for value in theirs]), texts(policies),
        ),
    )  # fmt: skip


def settle_agreed(sql: Raw, context: PageContext, external_ids: Sequence[str]) -> None:
    """Close the conflicts of records on which both sides have come to agree by themselves."""
    if external_ids:
        sql.execute(
            "UPDATE conflicts SET state = 'settled', resolution = 'agreed', settled_at = now() WHERE tenant_id = %b "
            "AND installation_id = %b AND stream = %b AND external_id = ANY(%b) AND state = 'open' "
            "AND kind IN ('fields', 'match')",
            (context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
        )
