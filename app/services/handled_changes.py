"""Which changes of a record its writes have carried: each installation's handled position, kept on its intents.

A write is decided by the record as it is, so it carries every change up to the newest one of that moment.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import func, select

from app.arrays import TextArray, texts, uuids
from app.db import db
from app.models.intents import Intent
from app.services.page_context import PageContext
from app.services.page_writes import Raw
from app.sync.plan import Held


@dataclass(frozen=True, slots=True)
class Carried:
    """The newest change that a write carries, None where the journal has none; whether the one before carried it."""

    newest: uuid.UUID | None
    repeated: bool


NOTHING: Mapping[uuid.UUID, Carried] = MappingProxyType({})
# In an UPDATE of intents n FROM unnest(…, handled, repeated) AS t. What no change has told is not told twice.
HANDLED = (
    "handled_id = coalesce(nullif(t.handled, '')::uuid, n.handled_id), repeated = (t.repeated <> '' AND n.told > 0)"
)
# What another side, or somebody here, has changed: (installation, stream) of a stream are two parameters.
OTHERS = (
    "ROW(c.installation_id, c.stream) IS DISTINCT FROM ROW({}, {}) AND (c.operation <> 'linked' OR c.after <> '{{}}')"
)
# One statement has the record and its newest change: what is not in the values is not taken for carried.
_READ = (
    "SELECT r.id, r.data, r.deleted_at IS NOT NULL, r.updated_at, newest.id, last.handled_id IS NOT NULL AND NOT EXISTS "  # noqa: S608  # constants only
    "(SELECT FROM changes c WHERE c.tenant_id = r.tenant_id AND c.record_id = r.id AND c.id > last.handled_id "
    f"AND {OTHERS.format('%b', '%b')}) FROM records r LEFT JOIN LATERAL (SELECT c.id FROM changes c "
    "WHERE c.tenant_id = r.tenant_id AND c.record_id = r.id ORDER BY c.id DESC LIMIT 1) AS newest ON true "
    # Found by the record alone, newest first: see page_writes.LINKS_OF.
    "LEFT JOIN LATERAL (SELECT handled_id FROM (SELECT id, installation_id, stream, state, handled_id FROM intents "
    "WHERE tenant_id = r.tenant_id AND record_id = r.id ORDER BY id DESC OFFSET 0) AS i "
    "WHERE i.installation_id = %b AND i.stream = %b AND i.state = 'confirmed' ORDER BY i.id DESC LIMIT 1) AS last ON true "
    "WHERE r.tenant_id = %b AND r.id = ANY(%b)"
)


def newest_of(table: str) -> str:
    """Return the SQL of the newest change of the record that a row of `table` is about."""
    return (
        f"(SELECT c.id FROM changes c WHERE c.tenant_id = {table}.tenant_id AND c.record_id = {table}.record_id "  # noqa: S608  # our own names
        "ORDER BY c.id DESC LIMIT 1)"
    )


def read(
    sql: Raw, context: PageContext, ids: Sequence[uuid.UUID]
) -> tuple[dict[uuid.UUID, Held], dict[uuid.UUID, Carried]]:
    """Return these records by id, not locked, and what a write that is decided by them carries."""
    place = context.installation_id, context.stream
    rows = sql.execute(_READ, (*place, *place, context.tenant_id, uuids(ids)), binary=True).fetchall()
    return {row[0]: Held(*row[1:4]) for row in rows}, {row[0]: Carried(*row[4:]) for row in rows}


def packed(intent_ids: Sequence[uuid.UUID], carried: Mapping[uuid.UUID, Carried]) -> tuple[TextArray, TextArray]:
    """Return what these writes carry as the two last columns of `t` in HANDLED."""
    found = [carried.get(intent_id) for intent_id in intent_ids]
    return (
        texts([str(item.newest) if item and item.newest else "" for item in found]),
        texts(["t" if item and item.repeated else "" for item in found]),
    )


@dataclass(frozen=True)
class Told:
    """Of the writes of an installation: changes that went with another one, and those told after they were carried."""

    folded: int = 0
    repeated: int = 0


def count(tenant_id: uuid.UUID, installation_ids: Sequence[uuid.UUID], since: datetime) -> dict[uuid.UUID, Told]:
    """Return what these installations were told more than once, of the writes that were settled since a moment."""
    rows = db.session.execute(
        select(
            Intent.installation_id, func.coalesce(func.sum(Intent.told - 1).filter(Intent.told > 1), 0),
            func.count().filter(Intent.repeated),
        )
        .where(
            Intent.tenant_id == tenant_id, Intent.installation_id.in_(installation_ids), Intent.settled_at >= since,
            (Intent.told > 1) | Intent.repeated,
        )
        .group_by(Intent.installation_id)
    )  # fmt: skip
    return {row[0]: Told(int(row[1]), row[2]) for row in rows}
