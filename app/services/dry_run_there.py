"""What a dry run says about the other side: what would be changed, created and deleted over there."""

import uuid
from collections.abc import Collection, Mapping
from typing import Any

from app.services import intent_claims, intents
from app.services.dry_run_tally import Tally, Words
from app.services.page_context import PageContext
from app.services.page_writes import Raw
from app.sync.dry_run import Memory
from app.sync.merge import unsent
from app.sync.outbound import Abilities, decide
from app.sync.plan import Held, Plan
from connectors.sdk import Manifest

_BATCH = 1000


def abilities_of(context: PageContext, manifest: Manifest) -> Abilities:
    """Return what may be done over there once the stream has been read in full."""
    writes = manifest.stream(context.stream).writes
    operations = {name for name in ("create", "update", "delete") if writes and getattr(writes, name)}
    mirrors = context.delete_policy == "mirror"
    return Abilities(frozenset(operations), context.directions.outgoing, mirror_deletes=mirrors)


def add_changed(words: Words, context: PageContext, abilities: Abilities, plan: Plan, tally: Tally) -> None:
    """Count what the joined records of pages would change over there: the fields that would be sent."""
    if context.out is None:
        return
    for write in (write for write in plan.writes if write.sends):
        name, title = write.incoming.external_id, words.title(write.data, write.incoming.external_id)
        waiting = {clash.field for clash in write.open}
        fields = [n for n in unsent(write.data, write.base, abilities.outgoing) if n not in waiting]
        reason = context.left_out(write.data) if context.left_out else None
        if "update" not in abilities.operations:
            reason = "Records cannot be changed there."
        if reason:
            tally.leave_out("filter", None, reason, name, title, there=True)
        elif _fits(context, write.data, fields, name, title, tally):
            tally.count_there("change")
            before = {field: write.incoming.values.get(field) for field in fields}
            tally.sample(words, "changed_there", name, before, {n: write.data.get(n) for n in fields}, write.data)


def _fits(
    context: PageContext, values: Mapping[str, Any], fields: Collection[str], name: str, title: str, tally: Tally
) -> bool:
    made = context.mapping.outgoing(values, only=fields)
    if made.failed:
        problem = made.problems[0]
        tally.leave_out("mapping", problem.field, context.sentence(problem), name, title, there=True)
    return not made.failed


def add_created(
    sql: Raw, words: Words, context: PageContext, abilities: Abilities, memory: Memory, tally: Tally, *, limit: int
) -> None:  # fmt: skip
    """Count what only the host has, once the stream is read; of the first `limit`, whether it would be created there."""
    if context.out is None:
        return
    joined = set(memory.links.values())
    fresh = [(record_id, memory.touched[record_id]) for record_id in sorted(memory.new - joined)]
    tally.there["only_here"] = intents.count_missing(sql, context, but=list(joined)) + len(fresh)
    rows, looked = fresh[:limit], 0
    after = uuid.UUID(int=0)
    while rows or looked < limit:
        asked = memory.asked | intent_claims.list_ambiguous(sql, context, [record_id for record_id, _ in rows])
        for record_id, data in rows:
            values = memory.touched.get(record_id, data)
            _add_one(words, context, abilities, record_id, values, tally, asked=record_id in asked)
        looked += len(rows)
        some = min(_BATCH, limit - looked)
        rows = intents.list_missing(sql, context, but=list(joined), after=after, limit=some) if some > 0 else []
        if not rows:
            break
        after = rows[-1][0]
    tally.there["looked_at"] = looked


def _add_one(
    words: Words, context: PageContext, abilities: Abilities, record_id: uuid.UUID, data: dict[str, Any], tally: Tally,
    *, asked: bool,
) -> None:  # fmt: skip
    reason = context.left_out(data) if context.left_out else None
    todo, title = decide(Held(data, False), (), abilities, left_out=reason), words.title(data, str(record_id))
    if asked:
        tally.leave_out("match", None, intent_claims.AMBIGUOUS, str(record_id), title, there=True)
    elif todo.operation != "create":
        tally.leave_out("filter", None, todo.reason, str(record_id), title, there=True)
    elif _fits(context, data, todo.fields, str(record_id), title, tally):
        tally.count_there("create")
        tally.sample(words, "created_there", str(record_id), {}, {name: data.get(name) for name in todo.fields}, data)


def count_deleted(sql: Raw, context: PageContext, abilities: Abilities, memory: Memory) -> int:
    """Return how many records that are deleted here would be deleted there; those edited there come back instead."""
    if context.out is None or not abilities.mirror_deletes or "delete" not in abilities.operations:
        return 0
    rows = sql.execute(
        "SELECT r.id FROM links l JOIN records r ON r.tenant_id = l.tenant_id AND r.id = l.record_id "
        "WHERE l.tenant_id = %b AND l.installation_id = %b AND l.stream = %b AND l.deleted_at IS NULL "
        "AND r.deleted_at IS NOT NULL",
        (context.tenant_id, context.installation_id, context.stream),
    )
    return sum(row[0] not in memory.touched for row in rows)
