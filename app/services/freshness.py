"""How fresh the data of each stream is against what its schedule promises, and how much of it moved in 30 days."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import text

from app.clock import now
from app.db import db
from app.services import stream_volumes
from app.services.stream_volumes import NOTHING, Moved
from app.sync.status import Facts, late_at

# Beyond this many linked records counting ends, and what was counted of each stream is the least it has.
MOST = 100_000


@dataclass(frozen=True)
class StreamFacts:
    """A stream with its newest complete read and what runs did to its records in 30 days.

    `many`: counting has ended at MOST, so `records` is the least there is.
    `late_at`: from when on its data is older than promised, None where nothing is promised or nothing was read yet.
    """

    stream: str
    object_type: str
    enabled: bool
    direction: str
    read_at: datetime | None
    late_at: datetime | None
    records: int
    many: bool
    moved: Moved

    def late(self, at: datetime | None = None) -> bool:
        """Whether its data is older than promised."""
        return self.late_at is not None and (at or now()) > self.late_at


# The newest read is looked for from the newest run on: one step, but for a stream that fails.
_READ = text("""
    SELECT s.stream, s.object_type, s.enabled, s.direction, newest.finished_at AS read_at,
        coalesce(linked.number, 0) AS records, coalesce(sum(linked.number) OVER (), 0) >= :most AS many
    FROM installation_streams s
    LEFT JOIN (
        SELECT l.stream, count(*) AS number FROM (SELECT stream FROM links WHERE tenant_id = :tenant
            AND installation_id = :installation AND deleted_at IS NULL LIMIT :most) l GROUP BY l.stream
    ) linked ON linked.stream = s.stream
    LEFT JOIN LATERAL (
        SELECT rs.finished_at FROM runs r JOIN run_streams rs ON rs.tenant_id = r.tenant_id AND rs.run_id = r.id
        WHERE r.tenant_id = :tenant AND r.installation_id = :installation AND rs.stream = s.stream AND rs.state = 'done'
        ORDER BY r.id DESC LIMIT 1
    ) newest ON true
    WHERE s.tenant_id = :tenant AND s.installation_id = :installation ORDER BY s.created_at, s.id
""")


def list_streams(tenant_id: uuid.UUID, installation_id: uuid.UUID, facts: Facts) -> list[StreamFacts]:
    """Return the streams of an installation in the manifest's order; `facts` are the installation's."""
    values = {"tenant": tenant_id, "installation": installation_id, "most": MOST + 1}
    moved = stream_volumes.read(tenant_id, installation_id)
    return [
        StreamFacts(
            row.stream, row.object_type, row.enabled, row.direction, row.read_at, _late_at(facts, row.read_at),
            row.records, row.many, moved.get(row.stream, NOTHING),
        )
        for row in db.session.execute(_READ, values)
        if row.enabled or row.records
    ]  # fmt: skip


def _late_at(facts: Facts, read_at: datetime | None) -> datetime | None:
    """Return from when on a stream is late: by the rule for its installation, with its own newest read."""
    return late_at(replace(facts, last_success_at=read_at))
