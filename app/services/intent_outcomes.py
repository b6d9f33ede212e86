"""What became of writes: the other side's answer is agreed on, in one transaction for a batch of them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from app.arrays import blobs, texts, uuids
from app.ids import raw_ids
from app.services import intents, page_conflicts, page_writes, problems, runs
from app.services.intent_claims import Sending
from app.services.intent_failures import resolve
from app.services.page_context import Out, PageContext
from app.services.page_writes import Raw, as_json
from app.sync.echoes import hash_of
from app.sync.outbound import Settled, settle
from app.sync.plan import Held, Incoming, Linked, Plan, Write, difference
from connectors.sdk import External, Written


@dataclass(frozen=True, slots=True)
class Answer:
    """A write and what the other side said: the record's id there, its version, and the record where it was sent back.

    `read`: what was found of a create whose answer was lost; it may have been changed since, so it is joined as read.
    """

    sending: Sending
    written: Written
    read: External | None = None


def confirm(sql: Raw, context: PageContext, answers: Sequence[Answer]) -> None:
    """Agree on what was written, take over the other side's form of it, and go on where the record has changed again.

    Answers are of creates and updates; deletes have `confirm_deleted`.
    """
    if not answers:
        return
    held = page_writes.hold_records(sql, context, sorted({answer.sending.record_id for answer in answers}))
    settled = {answer.sending.id: _settle(context, answer, held.get(answer.sending.record_id)) for answer in answers}
    _link(sql, context, answers, settled)
    _take_over(sql, context, answers, settled, held)
    sql.execute(
        "UPDATE intents n SET state = 'confirmed', external_id = t.e, answer_hash = t.h, values = NULL, "
        "payload = NULL, settled_at = clock_timestamp(), near_misses = n.near_misses + t.m::int, error_code = NULL, "
        "error_message = NULL FROM unnest(%b::uuid[], %b::text[], %b::bytea[], %b::text[]) AS t(i, e, h, m) "
        "WHERE n.tenant_id = %b AND n.id = t.i",
        (
            uuids([answer.sending.id for answer in answers]), texts([str(answer.written.id) for answer in answers]),
            blobs([hash_of(settled[a.sending.id].base, a.sending.values) for a in answers]),
            texts([str(len(settled[a.sending.id].near)) for a in answers]), context.tenant_id,
        ),
    )  # fmt: skip
    resolve(sql, context, [answer.sending.record_id for answer in answers])
    problems.close_written(context.tenant_id, context.installation_id, context.stream)
    go_on(sql, context, [answer.sending for answer in answers])
    for answer in answers:
        if answer.sending.doubt and answer.read is None:
            # Long ago it may have been made, and changed since.
            runs.queue_read(context.tenant_id, context.installation_id, context.stream, str(answer.written.id))
    # What was deleted by another side while it was written is to go there as well.
    here, dead = Out(context.installation_id, context.stream), [name for name, record in held.items() if record.deleted]
    intents.plan(sql, context.tenant_id, [(here, name) for name in dead], cause="Deleted meanwhile", told=0)


def _settle(context: PageContext, answer: Answer, record: Held | None) -> Settled:
    data = answer.written.data
    mapped = context.mapping.apply(data).values if data is not None else None
    sending, data = answer.sending, record.data if record else {}
    return settle(sending.values, mapped, data, context.directions.incoming, sending.base)


def _link(sql: Raw, context: PageContext, answers: Sequence[Answer], settled: dict[uuid.UUID, Settled]) -> None:
    names = [str(answer.written.id) for answer in answers]
    known = page_writes.find_links(sql, context, names)
    for answer in answers:
        link = known.get(str(answer.written.id))
        if link and link.record_id != answer.sending.record_id:
            _join_twins(sql, context, answer, link)
    sql.execute(
        "INSERT INTO links AS l (tenant_id, id, installation_id, stream, external_id, record_id, base, "
        "external_version, source_hash, mapping_version, written_at) "
        "SELECT %b, i, %b, %b, e, r, b::jsonb, nullif(v, ''), '', %b::int, clock_timestamp() "
        "FROM unnest(%b::uuid[], %b::text[], %b::uuid[], %b::text[], %b::text[]) AS t(i, e, r, b, v) "
        "ON CONFLICT (tenant_id, installation_id, stream, external_id) DO UPDATE SET base = l.base || excluded.base, "
        "external_version = excluded.external_version, written_at = clock_timestamp(), deleted_at = NULL, "
        # What has been read of it before may be compared with another base now: the next reading counts as news.
        "source_hash = '', missing_passes = 0, updated_at = now()",
        (
            context.tenant_id, context.installation_id, context.stream, context.mapping_version,
            uuids(raw_ids(len(answers))), texts(names), uuids([answer.sending.record_id for answer in answers]),
            texts([as_json(settled[answer.sending.id].base) for answer in answers]),
            texts([answer.written.version or "" for answer in answers]),
        ),
    )  # fmt: skip


def _join_twins(sql: Raw, context: PageContext, answer: Answer, link: Linked) -> None:
    """A page has read what we have just created before we knew its id, and took it for a new one: make one of the two.

    Where the other record has a life of its own, a person decides which of the two it is.
    """
    ours, other = answer.sending.record_id, link.record_id
    alone = sql.execute(
        "UPDATE records r SET deleted_at = now(), updated_at = now(), version = version + 1 WHERE r.tenant_id = %b "
        "AND r.id = %b AND r.created_at >= (SELECT sent_at FROM intents WHERE tenant_id = %b AND id = %b) "
        "AND NOT EXISTS (SELECT 1 FROM links l WHERE l.tenant_id = r.tenant_id AND l.record_id = r.id AND l.id <> %b) "
        "RETURNING r.data",
        (context.tenant_id, other, context.tenant_id, answer.sending.id, link.id),
    ).fetchone()
    if alone is None:
        row = page_conflicts.Row(
            str(answer.written.id), "match", ours, theirs=dict(answer.sending.values), candidates=(ours, other)
        )
        page_conflicts.insert_conflicts(sql, context, [row])
        return
    sql.execute("DELETE FROM record_keys WHERE tenant_id = %b AND record_id = %b", (context.tenant_id, other))
    sql.execute("UPDATE links SET record_id = %b WHERE tenant_id = %b AND id = %b", (ours, context.tenant_id, link.id))
    sql.execute(
        "INSERT INTO changes (tenant_id, id, record_id, installation_id, stream, external_id, object_type, operation, "
        "before, writer, mapping_version) VALUES (%b, %b, %b, %b, %b, %b, %b, 'deleted', %b::jsonb, %b, %b::int)",
        (
            context.tenant_id, uuid.UUID(bytes=raw_ids(1)[0]), other, context.installation_id, context.stream,
            str(answer.written.id), context.object_type, as_json(alone[0]).decode(), context.writer,
            context.mapping_version,
        ),
    )  # fmt: skip


def _take_over(
    sql: Raw, context: PageContext, answers: Sequence[Answer], settled: dict[uuid.UUID, Settled],
    held: dict[uuid.UUID, Held],
) -> None:  # fmt: skip
    plan = Plan()
    for answer in answers:
        values, record = settled[answer.sending.id].values, held.get(answer.sending.record_id)
        if not values or record is None or record.deleted:
            continue
        before, after = difference(record.data, values)
        data = {**record.data, **values}
        incoming = Incoming(str(answer.written.id), values, b"", answer.written.version)
        plan.writes.append(Write("updated", incoming, answer.sending.record_id, data, before, after, {}))
    page_writes.write_records(sql, context, plan)
    page_writes.write_changes(sql, context, plan, 0)
    here, changed = Out(context.installation_id, context.stream), [write.record_id for write in plan.writes]
    shared = intents.shared(sql, context, changed) if changed else set()
    rows = [(out, name) for name in changed for out in context.outs if out != here or name in shared]
    intents.plan(sql, context.tenant_id, rows, cause=context.writer)


def confirm_deleted(sql: Raw, context: PageContext, sendings: Sequence[Sending]) -> None:
    """The other side has deleted these records, or did not have them any more."""
    if not sendings:
        return
    sql.execute(
        "UPDATE links SET deleted_at = clock_timestamp(), written_at = clock_timestamp(), updated_at = now() "
        "WHERE tenant_id = %b AND installation_id = %b AND stream = %b AND external_id = ANY(%b) "
        "AND deleted_at IS NULL",
        (
            context.tenant_id, context.installation_id, context.stream,
            texts([item.external_id or "" for item in sendings]),
        ),
    )  # fmt: skip
    ids = [item.id for item in sendings]
    sql.execute(
        "UPDATE intents SET state = 'confirmed', settled_at = clock_timestamp(), values = NULL, payload = NULL "
        "WHERE tenant_id = %b AND id = ANY(%b)",
        (context.tenant_id, uuids(ids)),
    )
    resolve(sql, context, [item.record_id for item in sendings])
    go_on(sql, context, sendings)


def put_back(
    sql: Raw, context: PageContext, ids: Sequence[uuid.UUID], *, seconds: float = 0, state: str = "planned",
    absent: bool = False,
) -> None:  # fmt: skip
    """Have writes decided anew after `seconds`, or put them in doubt: no answer has come.

    `absent` counts a search that found nothing; when enough have, the write is planned anew and the count with it.
    """
    if ids:
        # What is decided anew carries what was told meanwhile as well.
        joined = "told = told + told_since, told_since = 0, " if state == "planned" else ""
        tries = "tries" if not absent else "0" if state == "planned" else "tries + 1"
        sql.execute(
            f"UPDATE intents SET state = %b, due_at = clock_timestamp() + make_interval(secs => %b), {joined}"  # noqa: S608  # constants
            f"tries = {tries} "
            "WHERE tenant_id = %b AND id = ANY(%b) AND state IN ('sent', 'in_doubt')",
            (state, float(seconds), context.tenant_id, uuids(ids)),
        )


def wait_for_reading(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> None:
    """Drop writes to records that were changed over there and cannot be read; the page that reads one plans it anew."""
    if ids:
        sql.execute(
            "UPDATE intents SET state = 'dropped', settled_at = clock_timestamp(), again = false, error_message = "
            "'What was changed there does not fit, or a filter leaves it out: nothing is written over it.' "
            "WHERE tenant_id = %b AND id = ANY(%b) AND state = 'sent'",
            (context.tenant_id, uuids(ids)),
        )


def go_on(sql: Raw, context: PageContext, written: Sequence[Sending]) -> None:
    """Plan anew what has changed again while it was being written, or waits to be written to another record as well."""
    again_after(sql, context, [item.id for item in written])
    here = Out(context.installation_id, context.stream)
    intents.plan(sql, context.tenant_id, [(here, item.record_id) for item in written if item.more], cause="", told=0)


def again_after(sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]) -> None:
    """Plan anew what has changed again while it was being written, or refused."""
    rows = sql.execute(
        "UPDATE intents SET again = false WHERE tenant_id = %b AND id = ANY(%b) AND again "
        "RETURNING record_id, cause, told_since",
        (context.tenant_id, uuids(ids)),
    ).fetchall()
    here = Out(context.installation_id, context.stream)
    cause, told = rows[0][1] if rows else "", {row[0]: row[2] for row in rows}
    intents.plan(sql, context.tenant_id, [(here, row[0]) for row in rows], cause=cause, told=told)
