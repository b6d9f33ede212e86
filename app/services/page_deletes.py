"""The SQL of deletes that come from the other side: links end, records with them, edits stand against it."""

import uuid
from collections.abc import Sequence
from typing import Any

from app.arrays import texts, uuids
from app.ids import raw_ids
from app.services.page_conflicts import Row, insert_conflicts
from app.services.page_context import PageContext
from app.services.page_writes import Raw, as_json
from app.sync.deletes import edited

Dead = tuple[uuid.UUID, dict[str, Any]]


def count_live(sql: Raw, context: PageContext) -> int:
    """Return how many live links the stream has."""
    row = sql.execute(
        "SELECT count(*) FROM links WHERE tenant_id = %b AND installation_id = %b AND stream = %b "
        "AND deleted_at IS NULL",
        (context.tenant_id, context.installation_id, context.stream),
    ).fetchone()
    return int(row[0]) if row else 0


def delete_links(sql: Raw, context: PageContext, external_ids: Sequence[str], page: int) -> int:
    """End these links; a record that no other installation links to is deleted with them. Return how many ended.

    A record that was edited here since both sides agreed stays, and a conflict says so: an edit is never lost to a
    delete.
    """
    # Records before links, as everybody locks them: a person who decides about one has its record, and wants its link.
    sql.execute(
        "SELECT 1 FROM records WHERE tenant_id = %b AND id IN (SELECT record_id FROM links WHERE tenant_id = %b "
        "AND installation_id = %b AND stream = %b AND external_id = ANY(%b) AND deleted_at IS NULL) "
        "ORDER BY id FOR NO KEY UPDATE",
        (context.tenant_id, context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
    )
    ended = sql.execute(
        "UPDATE links SET deleted_at = now(), updated_at = now() WHERE tenant_id = %b AND installation_id = %b "
        "AND stream = %b AND external_id = ANY(%b) AND deleted_at IS NULL RETURNING record_id, external_id, base",
        (context.tenant_id, context.installation_id, context.stream, texts(external_ids)),
    ).fetchall()
    # Where nothing flows in, a delete does not either.
    if not ended or context.delete_policy != "mirror" or not context.directions.creates:
        return len(ended)
    links = {record_id: (external_id, base) for record_id, external_id, base in ended}
    unlinked: list[Dead] = sql.execute(
        "SELECT r.id, r.data FROM records r WHERE r.tenant_id = %b AND r.id = ANY(%b) AND r.deleted_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM links l WHERE l.tenant_id = r.tenant_id AND l.record_id = r.id "
        "AND l.deleted_at IS NULL) ORDER BY r.id FOR UPDATE",
        (context.tenant_id, uuids(list(links))),
    ).fetchall()
    kept = {record_id: edited(links[record_id][1], data) for record_id, data in unlinked}
    rows = [
        Row(links[record_id][0], "deleted_there", record_id, base=_part(links[record_id][1], own), ours=own)
        for record_id, own in kept.items()
        if own
    ]
    insert_conflicts(sql, context, rows)
    dead = [(record_id, data) for record_id, data in unlinked if not kept[record_id]]
    _delete_records(sql, context, dead, {record_id: link[0] for record_id, link in links.items()}, page)
    return len(ended)


def _part(values: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in names}


def _delete_records(
    sql: Raw, context: PageContext, dead: Sequence[Dead], external: dict[uuid.UUID, str], page: int
) -> None:
    if not dead:
        return
    ids = [record_id for record_id, _ in dead]
    with sql.pipeline():
        sql.execute(
            "UPDATE records SET deleted_at = now(), updated_at = now(), version = version + 1 "
            "WHERE tenant_id = %b AND id = ANY(%b)",
            (context.tenant_id, uuids(ids)),
        )
        sql.execute(
            "DELETE FROM record_keys WHERE tenant_id = %b AND record_id = ANY(%b)", (context.tenant_id, uuids(ids))
        )
        sql.execute(
            "INSERT INTO changes (tenant_id, id, record_id, run_id, installation_id, stream, external_id, "
            "object_type, page, operation, before, writer, mapping_version) SELECT %b, i, r, %b::uuid, %b, %b, e, %b, "
            "%b::int, 'deleted', b::jsonb, %b, %b::int "
            "FROM unnest(%b::uuid[], %b::uuid[], %b::text[], %b::text[]) AS t(i, r, e, b)",
            (
                context.tenant_id, context.run_id, context.installation_id, context.stream, context.object_type, page,
                context.writer, context.mapping_version, uuids(raw_ids(len(dead))), uuids(ids),
                texts([external[record_id] for record_id in ids]), texts([as_json(data) for _, data in dead]),
            ),
        )  # fmt: skip


def find_missing(
    sql: Raw, context: PageContext, run_stream_id: uuid.UUID
) -> tuple[int, list[str], bool]:  # fmt: skip
    """Return (live links, external ids that this full pass and the one before have not shown, whether to mark any)."""
    # On a tenant that was empty a minute ago PostgreSQL expects one link and would look through all that was seen for
    # each of them (measured: 14 s instead of 30 ms for 20,000).
    sql.execute("SELECT set_config('enable_nestloop', 'off', true)")
    marks, key = _marks(context, run_stream_id)
    live, absent, marked = sql.execute(
        f"WITH seen AS MATERIALIZED (SELECT DISTINCT unnest AS id FROM ({_SEEN}) AS u) SELECT count(*), "  # noqa: S608  # constants
        "count(*) FILTER (WHERE s.id IS NULL), count(*) FILTER (WHERE l.missing_passes > 0) "
        f"FROM links l LEFT JOIN seen s ON s.id = l.external_id WHERE {_LINKS}",
        (*marks, *key),
    ).fetchone() or (0, 0, 0)
    if not absent and not marked:
        return int(live), [], False
    missing = sql.execute(
        f"WITH seen AS MATERIALIZED ({_SEEN}) SELECT l.external_id FROM links l WHERE {_LINKS} "  # noqa: S608  # constants
        "AND l.missing_passes >= 1 AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.unnest = l.external_id)",
        (*marks, *key),
    )
    return int(live), [row[0] for row in missing], True


def mark_missing(sql: Raw, context: PageContext, run_stream_id: uuid.UUID) -> None:
    """Count for each link how many full passes in a row have not shown it."""
    marks, key = _marks(context, run_stream_id)
    sql.execute(
        f"WITH seen AS MATERIALIZED ({_SEEN}) UPDATE links l SET missing_passes = CASE WHEN EXISTS "  # noqa: S608  # as above
        f"(SELECT 1 FROM seen s WHERE s.unnest = l.external_id) THEN 0 ELSE l.missing_passes + 1 END WHERE {_LINKS} "
        "AND (l.missing_passes > 0 OR NOT EXISTS (SELECT 1 FROM seen s WHERE s.unnest = l.external_id))",
        (*marks, *key),
    )


_SEEN = "SELECT unnest(external_ids) FROM pass_pages WHERE tenant_id = %b AND run_stream_id = %b"
# What our own write has just made may not be in a listing that began before it.
_LINKS = (
    "l.tenant_id = %b AND l.installation_id = %b AND l.stream = %b AND l.deleted_at IS NULL "
    "AND l.created_at < (SELECT started_at FROM run_streams WHERE tenant_id = %b AND id = %b)"
)


def _marks(context: PageContext, run_stream_id: uuid.UUID) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    marks = context.tenant_id, run_stream_id
    return marks, (context.tenant_id, context.installation_id, context.stream, *marks)
