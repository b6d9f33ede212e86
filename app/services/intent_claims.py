"""Taking planned writes up: what each record needs now is decided, and committed as sent before any request."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask import current_app

from app.arrays import blobs, texts, uuids
from app.services import handled_changes, intents, page_deletes, page_writes, problems
from app.services.handled_changes import HANDLED, NOTHING, Carried, newest_of, packed
from app.services.intent_failures import Refusal, refuse
from app.services.page_context import Out, PageContext
from app.services.page_writes import Raw, as_json
from app.sync.deletes import judge
from app.sync.echoes import hash_of
from app.sync.outbound import Abilities, Tie, Todo, decide
from app.sync.plan import Held

BATCH = 50
AMBIGUOUS = "A person must say first whether it is there already."


@dataclass(frozen=True, slots=True)
class Sending:
    """A write that is committed as sent. Its id is reference and idempotency key; `values` are the host's fields.

    `doubt`: it was sent before and no answer came. `base` is what was last agreed on with this external record, or what
    is known to be there where a conflict is open.
    """

    id: uuid.UUID
    record_id: uuid.UUID
    operation: str
    external_id: str | None
    version: str | None
    values: Mapping[str, Any]
    payload: Mapping[str, Any]
    base: Mapping[str, Any] = field(default_factory=dict)
    more: bool = False
    first_sent_at: datetime | None = None
    tries: int = 0
    doubt: bool = False


def next_stream(sql: Raw, tenant_id: uuid.UUID, installation_id: uuid.UUID) -> str | None:
    """Return the stream of the write that has waited longest and is due, None when there is none."""
    row = sql.execute(
        "SELECT stream FROM intents WHERE tenant_id = %b AND installation_id = %b "
        "AND state IN ('planned', 'in_doubt') AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1",
        (tenant_id, installation_id),
    ).fetchone()
    return str(row[0]) if row else None


def find_lost(sql: Raw, tenant_id: uuid.UUID, installation_id: uuid.UUID) -> int:
    """Put in doubt what a worker that is gone had sent; return how many. The caller holds the only lease."""
    lost = sql.execute(
        "UPDATE intents SET state = 'in_doubt', due_at = now() WHERE tenant_id = %b AND installation_id = %b "
        "AND state = 'sent'",
        (tenant_id, installation_id),
    )
    return lost.rowcount


def repeats(sql: Raw, tenant_id: uuid.UUID, installation_id: uuid.UUID) -> bool:
    """Whether something due is in doubt: its call failed, and is repeated or asked about."""
    row = sql.execute(
        "SELECT EXISTS (SELECT 1 FROM intents WHERE tenant_id = %b AND installation_id = %b AND state = 'in_doubt' "
        "AND due_at <= clock_timestamp())",
        (tenant_id, installation_id),
    ).fetchone()
    return bool(row and row[0])


def claim(sql: Raw, context: PageContext, abilities: Abilities, *, limit: int = BATCH) -> list[Sending]:
    """Take up to `limit` due writes of a stream, decide each by the record as it is now, and mark them as sent.

    Commit before anything is sent. Writes that need nothing are dropped, those that cannot be made are refused.
    """
    _repeat_doubtful(sql, context)
    rows = sql.execute(
        "SELECT id, record_id, operation, state, values, payload, sent_at, tries, told_since FROM intents WHERE tenant_id = %b "
        "AND installation_id = %b AND stream = %b AND state IN ('planned', 'in_doubt') "
        "AND due_at <= clock_timestamp() ORDER BY due_at, id LIMIT %b FOR UPDATE SKIP LOCKED",
        (context.tenant_id, context.installation_id, context.stream, limit),
    ).fetchall()
    doubts = [row for row in rows if row[3] == "in_doubt"]
    sending = _still_doubtful(sql, context, doubts) if doubts else []
    planned = [(row[0], row[1], row[2] == "create") for row in rows if row[3] == "planned"]
    if planned:
        sending += _decide(sql, context, abilities, planned)
    return sending


def _still_doubtful(sql: Raw, context: PageContext, doubts: Sequence[Any]) -> list[Sending]:
    """Return the creates whose answer was lost; those that a page has found and linked meanwhile are over."""
    ties = _ties(sql, context, [row[1] for row in doubts])
    found = [row for row in doubts if row[1] in ties]
    if found:
        _drop(sql, context, [_Dropped(row[0], "It was found there.", context.mapping_version) for row in found])
        here = Out(context.installation_id, context.stream)
        told = {row[1]: row[8] for row in found}
        intents.plan(sql, context.tenant_id, [(here, row[1]) for row in found], cause="An answer was lost", told=told)
    return [
        Sending(row[0], row[1], "create", None, None, row[4], row[5], first_sent_at=row[6], tries=row[7], doubt=True)
        for row in doubts
        if row[1] not in ties
    ]


def _repeat_doubtful(sql: Raw, context: PageContext) -> None:
    """An update or delete without an answer is made again: values are absolute. Its row stays, for its echo."""
    rows = sql.execute(
        "UPDATE intents SET state = 'dropped', error_code = 'answer_lost', settled_at = now(), again = false "
        "WHERE tenant_id = %b AND installation_id = %b AND stream = %b AND state = 'in_doubt' "
        "AND operation IN ('update', 'delete') AND due_at <= clock_timestamp() "
        "RETURNING record_id, told_since",
        (context.tenant_id, context.installation_id, context.stream),
    ).fetchall()
    here = Out(context.installation_id, context.stream)
    told = dict(rows)
    intents.plan(sql, context.tenant_id, [(here, row[0]) for row in rows], cause="An answer was lost", told=told)


def hold_deletes(sql: Raw, context: PageContext) -> None:
    """Ask a person before more than the guard allows is deleted over there."""
    due = (
        "FROM intents n JOIN records r ON r.tenant_id = n.tenant_id AND r.id = n.record_id WHERE n.tenant_id = %b "
        "AND n.installation_id = %b AND n.stream = %b AND n.state = 'planned' AND n.operation <> 'delete' "
        "AND r.deleted_at IS NOT NULL AND EXISTS (SELECT 1 FROM (SELECT * FROM links WHERE tenant_id = n.tenant_id "
        "AND record_id = n.record_id OFFSET 0) l WHERE l.installation_id = n.installation_id AND l.stream = n.stream "
        "AND l.deleted_at IS NULL)"
    )
    place = (context.tenant_id, context.installation_id, context.stream)
    row = sql.execute(f"SELECT count(*) {due}", place).fetchone()
    candidates, live = (row[0] if row else 0), page_deletes.count_live(sql, context)
    if context.delete_policy == "mirror" and judge(candidates, live, confirmed=False).ask:
        sql.execute(
            "UPDATE intents SET state = 'parked', error_code = 'deletes_ask', settled_at = clock_timestamp(), "  # noqa: S608  # constants only
            f"handled_id = {newest_of('intents')} WHERE tenant_id = %b AND id IN (SELECT n.id {due})",
            (context.tenant_id, *place),
        )
        host = current_app.extensions["settings"].host_name
        problems.open_problem(
            context.tenant_id, context.installation_id, "deletes_out_ask",
            f"{candidates:,} of {live:,} {context.stream} were deleted in {host}. Nothing has been deleted elsewhere.",
            "Say whether they are to be deleted as well, or to stay.",
            signature=f"deletes_out:{context.stream}", count=candidates,
        )  # fmt: skip


def _decide(
    sql: Raw, context: PageContext, abilities: Abilities, planned: Sequence[tuple[uuid.UUID, uuid.UUID, bool]]
) -> list[Sending]:
    ids = list({record_id for _, record_id, _ in planned})
    # Not locked: whoever changes one now waits for its intent, which is held, and has it written again.
    held, by_record = handled_changes.read(sql, context, ids)
    ties, counts, unsure = _ties(sql, context, ids), _writes_last_hour(sql, context, ids), _unsure(sql, context, ids)
    undone = _deleted_by_undo(sql, context, [name for name in ties if name in held and held[name].deleted])
    here_only = replace(abilities, mirror_deletes=False)
    ambiguous = list_ambiguous(sql, context, [name for name in ids if name not in ties])
    sending: list[Sending] = []
    dropped: list[_Dropped] = []
    refused: list[Refusal] = []
    for intent_id, record_id, again in planned:
        record = held.get(record_id)
        if record is None:
            dropped.append(_Dropped(intent_id, "There is no such record any more.", None))
            continue
        if record_id in ambiguous:
            dropped.append(_Dropped(intent_id, AMBIGUOUS, None, over=False))
            continue
        todo = decide(
            record, ties.get(record_id, ()), here_only if record_id in undone else abilities,
            left_out=_left_out(context, record), writes_last_hour=counts.get(record_id, {}), again=again,
            unsure=record_id in unsure,
        )  # fmt: skip
        if todo.operation == "drop":
            # Without the version of the mapping it is not known as tried, and the full pass plans it again.
            version = None if todo.later else context.mapping_version
            over = not todo.later and (record_id in ties or record_id not in unsure)
            dropped.append(_Dropped(intent_id, todo.reason, version, over))
        elif todo.operation == "park":
            refused.append(
                Refusal(intent_id, record_id, todo.tie.external_id if todo.tie else None, todo.reason, parks=True)
            )
        else:
            made = _make(context, intent_id, record_id, record, todo)
            sending.append(made) if isinstance(made, Sending) else refused.append(made)
    carried = {intent_id: by_record[record_id] for intent_id, record_id, _ in planned if record_id in by_record}
    _drop(sql, context, dropped, carried)
    refuse(sql, context, refused, carried)
    _mark_sent(sql, context, sending, carried)
    return sending


def list_ambiguous(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return which of these records may be one that is there: a conflict asks which of them it is."""
    if not ids:
        return set()
    rows = sql.execute(
        "SELECT v::uuid FROM conflicts c, jsonb_array_elements_text(c.candidates) AS v WHERE c.tenant_id = %b "
        "AND c.installation_id = %b AND c.stream = %b AND c.state = 'open' AND c.kind = 'match' "
        "AND v::uuid = ANY(%b)",
        (context.tenant_id, context.installation_id, context.stream, uuids(ids)),
    )
    return {row[0] for row in rows}


def _left_out(context: PageContext, record: Held) -> str | None:
    return context.left_out(record.data) if context.left_out and not record.deleted else None


def _make(
    context: PageContext, intent_id: uuid.UUID, record_id: uuid.UUID, record: Held, todo: Todo
) -> Sending | Refusal:
    made = context.mapping.outgoing(record.data, only=todo.fields)
    tie = todo.tie or Tie("", {})
    known = {**tie.base, **tie.waiting}
    external_id = tie.external_id or None
    if made.failed:
        first = made.problems[0]
        return Refusal(intent_id, record_id, external_id, "mapping_failed", context.sentence(first), field=first.field)
    skipped = {problem.field for problem in made.problems}
    values = {name: record.data.get(name) for name in todo.fields if name not in skipped}
    return Sending(
        intent_id, record_id, todo.operation, external_id, tie.version, values, made.fields, known, todo.more
    )


def _ties(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Tie]]:
    rows = sql.execute(
        "SELECT l.record_id, l.external_id, l.base, l.external_version, l.deleted_at IS NOT NULL, c.theirs "  # noqa: S608  # constants only
        f"FROM {page_writes.LINKS_OF} l "
        "LEFT JOIN conflicts c ON c.tenant_id = l.tenant_id AND c.installation_id = l.installation_id "
        "AND c.stream = l.stream AND c.external_id = l.external_id AND c.state = 'open' AND c.kind = 'fields' "
        "WHERE l.installation_id = %b AND l.stream = %b ORDER BY l.id",
        (context.tenant_id, uuids(ids), context.installation_id, context.stream),
    )
    found: dict[uuid.UUID, list[Tie]] = {}
    for record_id, external_id, base, version, deleted, theirs in rows:
        tie = Tie(external_id, base, version, deleted, theirs or {})
        found.setdefault(record_id, []).append(tie)
    return found


def _deleted_by_undo(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of these deleted records that the undo of a run has deleted: they stay at the other sides."""
    if not ids:
        return set()
    rows = sql.execute(
        "SELECT t.r FROM unnest(%b::uuid[]) AS t(r), LATERAL (SELECT run_id, installation_id, operation FROM changes "
        "WHERE tenant_id = %b AND record_id = t.r ORDER BY id DESC LIMIT 1) AS c "
        "WHERE c.operation = 'deleted' AND c.run_id IS NOT NULL AND c.installation_id IS NULL",
        (uuids(ids), context.tenant_id),
    )
    return {row[0] for row in rows}


def _unsure(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of these records of which nobody knows whether a create of ours has made them over there."""
    rows = sql.execute(
        "SELECT record_id FROM intents WHERE tenant_id = %b AND record_id = ANY(%b) AND installation_id = %b "
        "AND stream = %b AND state = 'parked' AND error_code = 'in_doubt'",
        (context.tenant_id, uuids(ids), context.installation_id, context.stream),
        binary=True,
    )
    return {row[0] for row in rows}


def _writes_last_hour(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    """Return record -> external id -> updates of the last hour that a sync has caused.

    People and the host's product may change a record as often as they like; and a person who has the record tried
    again starts the count anew.
    """
    rows = sql.execute(
        "SELECT i.record_id, i.external_id, count(*) FROM intents i WHERE i.tenant_id = %b AND i.record_id = ANY(%b) "
        "AND i.installation_id = %b AND i.stream = %b AND i.operation = 'update' AND i.state <> 'rejected' "
        "AND i.cause IN (SELECT name FROM installations WHERE tenant_id = i.tenant_id) AND i.sent_at > greatest("
        "clock_timestamp() - interval '1 hour', (SELECT max(f.retry_at) FROM failed_records f WHERE "
        "f.tenant_id = i.tenant_id AND f.installation_id = i.installation_id AND f.stream = i.stream "
        "AND f.external_id = i.external_id AND f.direction = 'out' AND f.state = 'waiting')) "
        "GROUP BY i.record_id, i.external_id",
        (context.tenant_id, uuids(ids), context.installation_id, context.stream),
    )
    found: dict[uuid.UUID, dict[str, int]] = {}
    for record_id, external_id, count in rows:
        found.setdefault(record_id, {})[external_id] = count
    return found


@dataclass(frozen=True, slots=True)
class _Dropped:
    """A write that is not made, and why. `version`: under which mapping it was tried. `over`: nothing of it is left."""

    intent_id: uuid.UUID
    reason: str
    version: int | None
    over: bool = True


def _drop(
    sql: Raw, context: PageContext, dropped: Sequence[_Dropped], carried: Mapping[uuid.UUID, Carried] = NOTHING
) -> None:
    if dropped:
        sql.execute(
            "UPDATE intents n SET state = 'dropped', error_message = t.m, "  # noqa: S608  # constants only
            "mapping_version = nullif(t.v, '')::int, "
            f"settled_at = clock_timestamp(), again = false, {HANDLED} "
            "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[]) "
            "AS t(i, m, v, handled, repeated) WHERE n.tenant_id = %b AND n.id = t.i",
            (
                uuids([item.intent_id for item in dropped]),
                texts([item.reason for item in dropped]),
                texts([str(item.version or "") for item in dropped]),
                *packed([item.intent_id for item in dropped], carried),
                context.tenant_id,
            ),
        )
        # What was refused before needs no other try.
        sql.execute(
            "UPDATE failed_records f SET state = 'resolved', resolved_at = now(), retry_at = NULL FROM intents n "
            "WHERE n.tenant_id = %b AND n.id = ANY(%b) AND f.tenant_id = n.tenant_id AND f.record_id = n.record_id "
            "AND f.installation_id = n.installation_id AND f.stream = n.stream AND f.direction = 'out' "
            "AND f.state IN ('waiting', 'parked')",
            (context.tenant_id, uuids([item.intent_id for item in dropped if item.over])),
        )  # fmt: skip


def _mark_sent(
    sql: Raw, context: PageContext, sending: Sequence[Sending], carried: Mapping[uuid.UUID, Carried]
) -> None:
    if not sending:
        return
    sql.execute(
        "UPDATE intents n SET state = 'sent', "  # noqa: S608  # constants only
        "operation = t.o, external_id = nullif(t.e, ''), "
        "version = nullif(t.v, ''), fields = t.f::jsonb, values = t.a::jsonb, payload = t.p::jsonb, sent_hash = t.h, "
        "answer_hash = NULL, echoed_at = NULL, mapping_version = %b::int, again = false, tries = n.tries + 1, "
        f"sent_at = clock_timestamp(), {HANDLED} "
        "FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], "
        "%b::text[], %b::text[]) AS t(i, o, e, v, f, a, p, h, handled, repeated) WHERE n.tenant_id = %b AND n.id = t.i",
        (
            context.mapping_version, uuids([item.id for item in sending]), texts([item.operation for item in sending]),
            texts([item.external_id or "" for item in sending]), texts([item.version or "" for item in sending]),
            texts([as_json(sorted(item.values)) for item in sending]),
            texts([as_json(dict(item.values)) for item in sending]),
            texts([as_json(dict(item.payload)) for item in sending]),
            blobs([hash_of(item.values, item.values) for item in sending]),
            *packed([item.id for item in sending], carried), context.tenant_id,
        ),
    )  # fmt: skip
