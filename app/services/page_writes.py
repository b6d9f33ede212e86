"""The SQL of a page: arrays in binary, a fixed number of statements whatever the page holds."""

import uuid
from collections.abc import Sequence
from typing import Any

import orjson
import psycopg
from flask import current_app

from app.arrays import ByteaArray, TextArray, UuidArray, blobs, texts, uuids
from app.db import begin_with, db
from app.ids import raw_ids
from app.services.page_context import PageContext
from app.services.tasks import LeasedTask, LeaseLostError
from app.sync.hashes import digest
from app.sync.keys import Key, keys_of
from app.sync.plan import Held, Linked, Plan, Write

Raw = psycopg.Connection[Any]


def connection() -> Raw:
    """Return psycopg's connection of the open transaction."""
    raw = db.session.connection().connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


def open_page(
    task: LeasedTask, run_id: uuid.UUID | None, context: PageContext, hashes: dict[str, bytes]
) -> tuple[Raw, bool, dict[str, Linked | None]]:
    """Pass the fence and set the transaction up for a page of records with these hashes, by external id.

    Returns the connection, whether the run is to stop, and for each record that is not as its link says that link,
    None where there is none. LeaseLostError when another worker has the task. All of it goes with BEGIN in one round
    trip, because each one costs every page.
    """
    lease = current_app.extensions["settings"].lease_seconds
    # A crash may take the page back: its checkpoint goes with it, and it is read again. No event may leave before it
    # is on disk, and none does: whoever sends one commits its claim on the change first, and PostgreSQL writes its log
    # in order, so that commit waits for this one.
    # psycopg prepares at the fifth use; on tables that were empty then, PostgreSQL would keep a plan that reads all of
    # a tenant's rows for each page, and a first load becomes quadratic. Hence a plan of its own for each page.
    fence = (
        "WITH held AS (UPDATE tasks SET lease_until = clock_timestamp() + make_interval(secs => %b), attempts = 0 "
        "WHERE tenant_id = %b AND id = %b AND lease_token = %b AND state = 'leased' RETURNING 1) "
        "SELECT (SELECT count(*) FROM held), set_config('plan_cache_mode', 'force_custom_plan', true), "
        "set_config('enable_seqscan', 'off', true), set_config('synchronous_commit', 'off', true), "
        "(SELECT stop_requested FROM runs WHERE tenant_id = %b AND id = %b), set_config('patchbay.fan_out', "
        "CASE WHEN EXISTS (SELECT FROM lookup_listeners(%b, true)) THEN 'new' ELSE 'done' END, true)"
    )
    values = (lease, task.tenant_id, task.id, task.token, task.tenant_id, run_id, task.tenant_id)
    raw, (fenced, found) = begin_with((fence, values), (_NEWS, _news_of(context, hashes)))
    row = fenced.fetchone()
    if row is None or row[0] != 1:
        raise LeaseLostError
    return raw, bool(row[4]), {row[0]: Linked(*row[1:]) if row[1] else None for row in found}


def as_json(value: Any) -> bytes:
    """Return a value as the bytes of its JSON."""
    return orjson.dumps(value)


# One index descent for each value, whatever the planner believes: on a tenant that was empty a minute ago it would
# read all the tenant's rows for each page (measured: 2.7 ms at 20,000 rows and growing, 0.3 ms this way).
_LINK = (
    "SELECT id AS link_id, record_id, source_hash, mapping_version, deleted_at IS NOT NULL AS deleted, base, "
    "external_version, written_at FROM links "
    "WHERE tenant_id = %b AND installation_id = %b AND stream = %b AND external_id = v.id OFFSET 0"
)
_LINKS = f"SELECT v.id, l.* FROM unnest(%b::text[]) AS v(id), LATERAL ({_LINK}) AS l"  # noqa: S608  # constants only
_NEWS = (
    f"SELECT v.id, l.* FROM unnest(%b::text[], %b::bytea[]) AS v(id, hash) LEFT JOIN LATERAL ({_LINK}) AS l ON true "  # noqa: S608  # constants only
    "WHERE l.link_id IS NULL OR l.source_hash <> v.hash OR l.mapping_version <> %b::int OR l.deleted"
)
# Found by the record alone and narrowed outside, for the same reason. Takes a tenant and records.
LINKS_OF = "(SELECT * FROM links WHERE tenant_id = %b AND record_id = ANY(%b) OFFSET 0)"
_KEYS = (
    "SELECT v.key, v.value, k.record_id FROM unnest(%b::text[], %b::text[]) AS v(key, value), LATERAL (SELECT record_id "
    "FROM record_keys WHERE tenant_id = %b AND object_type = %b AND key = v.key AND value = v.value OFFSET 0) AS k"
)


def _news_of(context: PageContext, hashes: dict[str, bytes]) -> tuple[Any, ...]:
    place = context.tenant_id, context.installation_id, context.stream
    return texts(list(hashes)), blobs(list(hashes.values())), *place, context.mapping_version


def find_links(sql: Raw, context: PageContext, external_ids: list[str]) -> dict[str, Linked]:
    """Return the links of these external ids, deleted ones too."""
    values = texts(external_ids), context.tenant_id, context.installation_id, context.stream
    return {row[0]: Linked(*row[1:]) for row in sql.execute(_LINKS, values, binary=True)}


def find_matches(
    sql: Raw, context: PageContext, keys: Sequence[Key], *, lock: bool = True
) -> dict[Key, tuple[uuid.UUID, ...]]:
    """Return match key -> live records that have it; holds off other creators of this object type meanwhile."""
    with sql.pipeline():
        if lock:
            sql.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%b || ':' || %b, 7))",
                (str(context.tenant_id), context.object_type),
            )
        names, values = zip(*dict.fromkeys(keys), strict=True)
        place = (context.tenant_id, context.object_type)
        rows = sql.execute(_KEYS, (texts(names), texts(values), *place), binary=True)
    found: dict[Key, tuple[uuid.UUID, ...]] = {}
    for name, value, record_id in rows:
        found[name, value] = (*found.get((name, value), ()), record_id)
    return found


def hold_records(
    sql: Raw, context: PageContext, ids: Sequence[uuid.UUID], *, lock: bool = True
) -> dict[uuid.UUID, Held]:  # fmt: skip
    """Return these records, locked in id order until the transaction ends unless `lock` is False."""
    rows = sql.execute(
        "SELECT id, data, deleted_at IS NOT NULL, updated_at FROM records WHERE tenant_id = %b AND id = ANY(%b) "  # noqa: S608  # constants only
        "ORDER BY id" + (" FOR NO KEY UPDATE" if lock else ""),
        (context.tenant_id, uuids(ids)),
        binary=True,
    )
    return {row[0]: Held(row[1], row[2], row[3]) for row in rows}


def write_records(sql: Raw, context: PageContext, plan: Plan) -> None:
    """Insert new records, update changed ones, and keep their keys."""
    created = {write.record_id: write for write in plan.writes if write.operation == "created"}
    changed = {w.record_id: w for w in plan.writes if w.operation != "same" and (w.after or w.operation == "restored")}
    # Several external records of one page may be one record: the last state of it is what is written.
    inserts = [changed.get(record_id, write) for record_id, write in created.items()]
    updates = [write for record_id, write in changed.items() if record_id not in created]
    if inserts:
        sql.execute(
            "INSERT INTO records (tenant_id, id, object_type, data, hash) SELECT %b, i, %b, d::jsonb, h "
            "FROM unnest(%b::uuid[], %b::text[], %b::bytea[]) AS t(i, d, h)",
            (context.tenant_id, context.object_type, *_record_arrays(inserts)),
        )
    if updates:
        sql.execute(
            "UPDATE records r SET data = t.d::jsonb, hash = t.h, version = r.version + 1, updated_at = now(), "
            "deleted_at = NULL FROM unnest(%b::uuid[], %b::text[], %b::bytea[]) AS t(i, d, h) "
            "WHERE r.tenant_id = %b AND r.id = t.i",
            (*_record_arrays(updates), context.tenant_id),
        )
    write_keys(sql, context, inserts, updates)


def _record_arrays(writes: Sequence[Write]) -> tuple[UuidArray, TextArray, ByteaArray]:
    return (
        uuids([w.record_id for w in writes]),
        texts([as_json(w.data) for w in writes]),
        blobs([digest(w.data) for w in writes]),
    )


def write_keys(sql: Raw, context: PageContext, inserts: list[Write], updates: list[Write]) -> None:
    """Keep what new and changed records are found by."""
    moved = [w for w in updates if w.operation == "restored" or not w.after.keys().isdisjoint(context.key_fields)]
    if moved:
        sql.execute(
            "DELETE FROM record_keys WHERE tenant_id = %b AND record_id = ANY(%b) AND key = ANY(%b)",
            (context.tenant_id, uuids([write.record_id for write in moved]), texts(context.key_fields)),
        )
    rows = [
        (key, value, write.record_id)
        for write in (*inserts, *moved)
        for key, value in keys_of(write.data, context.key_fields).items()
    ]
    if rows:
        keys, values, ids = zip(*rows, strict=True)
        # Those of new records cannot be there yet, and looking whether they are costs a third more [measured].
        again = " ON CONFLICT DO NOTHING" if moved else ""
        sql.execute(
            "INSERT INTO record_keys (tenant_id, object_type, key, value, record_id) SELECT %b, %b, k, v, i "  # noqa: S608  # constants only
            f"FROM unnest(%b::text[], %b::text[], %b::uuid[]) AS t(k, v, i){again}",
            (context.tenant_id, context.object_type, texts(keys), texts(values), uuids(ids)),
        )


def write_links(sql: Raw, context: PageContext, plan: Plan) -> None:
    """Join external ids to records, with the values both sides now agree on."""
    if not plan.writes:
        return
    sql.execute(
        "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, external_version, "
        "source_hash, mapping_version) SELECT %b, i, %b, %b, e, r, b::jsonb, nullif(v, ''), h, %b::int "
        "FROM unnest(%b::uuid[], %b::text[], %b::uuid[], %b::text[], %b::text[], %b::bytea[]) AS t(i, e, r, b, v, h) "
        "ON CONFLICT (tenant_id, installation_id, stream, external_id) DO UPDATE SET base = excluded.base, "
        "external_version = excluded.external_version, source_hash = excluded.source_hash, "
        "mapping_version = excluded.mapping_version, missing_passes = 0, deleted_at = NULL, updated_at = now()",
        (
            context.tenant_id,
            context.installation_id,
            context.stream,
            context.mapping_version,
            uuids(raw_ids(len(plan.writes))),
            texts([write.incoming.external_id for write in plan.writes]),
            uuids([write.record_id for write in plan.writes]),
            texts([as_json(write.base) for write in plan.writes]),
            texts([write.incoming.version or "" for write in plan.writes]),
            blobs([write.incoming.source_hash for write in plan.writes]),
        ),
    )


def write_changes(sql: Raw, context: PageContext, plan: Plan, page: int) -> None:
    """Write the journal: a row for every record this page changed or joined."""
    rows = [write for write in plan.writes if write.operation != "same"]
    if not rows:
        return
    sql.execute(
        "INSERT INTO changes (tenant_id, id, record_id, run_id, installation_id, stream, external_id, object_type, "
        "page, operation, before, after, writer, mapping_version) SELECT %b, i, r, %b::uuid, %b, %b, e, %b, %b::int, "
        "o, b::jsonb, a::jsonb, %b, %b::int "
        "FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[]) AS t(i, r, e, o, b, a)",
        (
            context.tenant_id, context.run_id, context.installation_id, context.stream, context.object_type, page,
            context.writer, context.mapping_version, uuids(raw_ids(len(rows))),
            uuids([write.record_id for write in rows]), texts([write.incoming.external_id for write in rows]),
            texts([write.operation for write in rows]), texts([as_json(write.before) for write in rows]),
            texts([as_json(write.after) for write in rows]),
        ),
    )  # fmt: skip


def advance(
    sql: Raw, context: PageContext, counts: dict[str, int], pages: int, total: int | None, checkpoint: Any
) -> None:
    """Count pages and move the checkpoint, in the pages' own transaction."""
    names = [name for name, value in counts.items() if value]
    moved = "".join(f", {name} = {name} + %b::int" for name in names)
    sql.execute(
        f"UPDATE run_streams SET pages = pages + %b::int, total = coalesce(%b::int, total), checkpoint = %b::jsonb, "  # noqa: S608  # our own column names
        f"updated_at = now(){moved} WHERE tenant_id = %b AND id = %b",
        (
            pages,
            total,
            as_json(checkpoint).decode(),
            *(counts[name] for name in names),
            context.tenant_id,
            context.run_stream_id,
        ),
    )


def remember_seen(sql: Raw, context: PageContext, page: int, external_ids: list[str]) -> None:
    """Keep which external ids this page of a full pass has shown."""
    sql.execute(
        "INSERT INTO pass_pages (tenant_id, run_stream_id, page, external_ids) VALUES (%b, %b, %b::int, %b) "
        "ON CONFLICT (tenant_id, run_stream_id, page) DO UPDATE SET external_ids = excluded.external_ids",
        (context.tenant_id, context.run_stream_id, page, texts(external_ids)),
    )
