"""The SQL of a page's conflicts: those a person must settle, those a policy has decided, those that are over."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.arrays import texts, uuids
from app.ids import raw_ids
from app.services.page_context import PageContext
from app.services.page_writes import Raw, as_json
from app.sync.merge import Clash
from app.sync.plan import Plan, moment_of

_ROWS = (
    "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind, key, candidates, record_id, "
    "base, ours, theirs, state, policy, choices, resolution, settled_at, theirs_at, run_id) "
    "SELECT %b, i, %b, %b, e, k, %b, c::jsonb, r, b::jsonb, o::jsonb, t::jsonb, "
    "CASE WHEN p = '' THEN 'open' ELSE 'settled' END, nullif(p, ''), w::jsonb, CASE WHEN p <> '' THEN 'policy' END, "
    "CASE WHEN p <> '' THEN now() END, nullif(a, '')::timestamptz, %b::uuid "
    "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[], %b::text[], %b::text[], "
    "%b::text[], %b::text[], %b::text[]) AS t(i, e, k, c, r, b, o, t, p, w, a) "
    "ON CONFLICT (tenant_id, installation_id, stream, external_id) WHERE state = 'open' DO UPDATE SET "
    "kind = excluded.kind, candidates = excluded.candidates, record_id = excluded.record_id, base = excluded.base, "
    "ours = excluded.ours, theirs = excluded.theirs, theirs_at = excluded.theirs_at, read_at = now(), "
    "run_id = excluded.run_id"
)
NOBODY = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Row:
    """A conflict to write. `policy`: it has decided already, and `choices` says for whom, field by field."""

    external_id: str
    kind: str
    record_id: uuid.UUID = NOBODY
    base: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    candidates: tuple[uuid.UUID, ...] = ()
    policy: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    theirs_at: datetime | None = None


def write_conflicts(sql: Raw, context: PageContext, plan: Plan) -> None:
    """Open a conflict for what nobody may decide but a person, and keep what a policy has decided."""
    rows = [
        Row(item.external_id, "match", theirs=item.values, candidates=hits, theirs_at=moment_of(item.updated_at))
        for item, hits in plan.conflicts
    ]
    for write in plan.writes:
        name, at = write.incoming.external_id, moment_of(write.incoming.updated_at)
        if write.revived:
            rows.append(Row(name, "deleted_here", write.record_id, ours=write.before, theirs=write.after, theirs_at=at))
        if write.open:
            rows.append(Row(name, "fields", write.record_id, *_sides(write.open), theirs_at=at))
        if write.decided:
            policies = ", ".join(sorted({clash.policy for clash in write.decided}))
            winners = {clash.field: str(clash.winner) for clash in write.decided}
            rows.append(
                Row(
                    name, "fields", write.record_id, *_sides(write.decided), policy=policies, choices=winners,
                    theirs_at=at,
                )
            )  # fmt: skip
    insert_conflicts(sql, context, rows)


def _sides(clashes: Sequence[Clash]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    return (
        {clash.field: clash.base for clash in clashes},
        {clash.field: clash.ours for clash in clashes},
        {clash.field: clash.theirs for clash in clashes},
    )


def insert_conflicts(sql: Raw, context: PageContext, rows: Sequence[Row]) -> None:
    """Write conflicts. An open one of the same external record is brought up to date: there is one of each at a time."""
    if not rows:
        return
    sql.execute(
        _ROWS,
        (
            context.tenant_id, context.installation_id, context.stream, context.match_key, context.run_id,
            uuids(raw_ids(len(rows))), texts([row.external_id for row in rows]), texts([row.kind for row in rows]),
            texts([as_json([str(hit) for hit in row.candidates]) for row in rows]),
            uuids([row.record_id for row in rows]), texts([as_json(dict(row.base)) for row in rows]),
            texts([as_json(dict(row.ours)) for row in rows]), texts([as_json(dict(row.theirs)) for row in rows]),
            texts([row.policy for row in rows]), texts([as_json(dict(row.choices)) for row in rows]),
            texts([row.theirs_at.isoformat() if row.theirs_at else "" for row in rows]),
        ),
    )  # fmt: skip


def settle_agreed(sql: Raw, context: PageContext, external_ids: Sequence[str]) -> None:
    """Close the conflicts of records on which both sides have come to agree by themselves, or that are there again."""
    if external_ids:
        sql.execute(
            "UPDATE conflicts SET state = 'settled', resolution = 'agreed', settled_at = now() WHERE tenant_id = %b "
            "AND installation_id = %b AND stream = %b AND external_id = ANY(%b) AND state = 'open' "
            "AND kind IN ('fields', 'match', 'deleted_there')",
            (context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
        )
