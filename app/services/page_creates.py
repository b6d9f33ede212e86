"""The SQL of new records: record, link and journal are the same values, sent and parsed once in one statement.

A first load is nothing else: three statements with the values in each cost a third of it [measured].
"""

from collections import Counter
from collections.abc import Sequence

from app.arrays import blobs, texts, uuids
from app.ids import raw_ids
from app.services.page_context import PageContext
from app.services.page_writes import Raw, write_keys
from app.sync.hashes import digested
from app.sync.plan import Plan, Write

_CREATE = (
    "WITH made AS MATERIALIZED (SELECT i, l, c, e, d::jsonb AS d, h, s, nullif(v, '') AS v "
    "FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::text[], %b::text[], %b::bytea[], %b::bytea[], %b::text[]) "
    "AS t(i, l, c, e, d, h, s, v)), "
    "record AS (INSERT INTO records (tenant_id, id, object_type, data, hash) SELECT %b, i, %b, d, h FROM made), "
    "link AS (INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, "
    "external_version, source_hash, mapping_version) SELECT %b, l, %b, %b, e, i, d, v, s, %b::int FROM made) "
    "INSERT INTO changes (tenant_id, id, record_id, run_id, installation_id, stream, external_id, object_type, page, "
    "operation, before, after, writer, mapping_version) "
    "SELECT %b, c, i, %b::uuid, %b, %b, e, %b, %b::int, 'created', '{}', d, %b, %b::int FROM made"
)

_LOT = 500


def split(plan: Plan) -> tuple[list[Write], Plan]:
    """Return the new records that nothing else in the page touches, and the plan of the rest."""
    uses = Counter(write.record_id for write in plan.writes)
    alone: list[Write] = []
    rest: list[Write] = []
    for write in plan.writes:
        # Its values are those agreed on, whole: the same object.
        whole = write.operation == "created" and write.data is write.base and uses[write.record_id] == 1
        (alone if whole else rest).append(write)
    return alone, Plan(rest, plan.conflicts, plan.stale, plan.left, plan.consumed, plan.near)


def create(sql: Raw, context: PageContext, writes: Sequence[Write], page: int) -> None:
    """Write new records with their links, journal and keys.

    In a pipeline, PostgreSQL works on one lot while the next is being packed.
    """
    for start in range(0, len(writes), _LOT):
        _create_some(sql, context, writes[start : start + _LOT], page)


def _create_some(sql: Raw, context: PageContext, writes: Sequence[Write], page: int) -> None:
    ids = raw_ids(3 * len(writes))
    contents = [digested(write.data) for write in writes]
    tenant_id, place = context.tenant_id, (context.installation_id, context.stream)
    sql.execute(
        _CREATE,
        (
            uuids([write.record_id for write in writes]), uuids(ids[0::3]), uuids(ids[1::3]),
            texts([write.incoming.external_id for write in writes]), texts([raw for raw, _ in contents]),
            blobs([hashed for _, hashed in contents]), blobs([write.incoming.source_hash for write in writes]),
            texts([write.incoming.version or "" for write in writes]),
            tenant_id, context.object_type,
            tenant_id, *place, context.mapping_version,
            tenant_id, context.run_id, *place, context.object_type, page, context.writer, context.mapping_version,
        ),
    )  # fmt: skip
    write_keys(sql, context, list(writes), [])
