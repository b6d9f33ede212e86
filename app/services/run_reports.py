"""What pages show of runs: history, totals, progress with rate and remaining time."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Integer, func, select, text

from app.clock import now
from app.db import db
from app.ids import first_at
from app.models.runs import Conflict, FailedRecord, HttpExchange, Run, RunStream
from app.services import failed_records, intents, runs
from app.tenancy import scoped

COUNTERS = ("read", "created", "updated", "linked", "unchanged", "deleted", "failed", "conflicts")


@dataclass(frozen=True)
class RunRow:
    """A run with the sums of its streams."""

    run: Run
    sums: dict[str, int]

    @property
    def written(self) -> int:
        """Records that were created, changed or joined."""
        return self.sums["created"] + self.sums["updated"] + self.sums["linked"]

    @property
    def total(self) -> int:
        """Records that were written or refused: what a bar of the chart is high."""
        return self.written + self.sums["failed"]

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken until now."""
        if self.run.started_at is None:
            return None
        return ((self.run.finished_at or now()) - self.run.started_at).total_seconds()


@dataclass(frozen=True)
class Progress:
    """A live run: done of total (None: the vendor does not say), records a second, seconds left."""

    row: RunRow
    streams: Sequence[RunStream]
    done: int
    total: int | None
    rate: float | None
    remaining: float | None

    @property
    def percent(self) -> int | None:
        """Whole percent, never 100 before the end."""
        return min(99, self.done * 100 // self.total) if self.total else None


def list_runs(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, *, before: uuid.UUID | None = None, limit: int = 25
) -> list[RunRow]:
    """Return runs with their sums, newest first; `before` is the id the last page ended with."""
    query = scoped(Run, tenant_id).where(Run.installation_id == installation_id)
    if before:
        query = query.where(Run.id < before)
    return with_sums(tenant_id, list(db.session.scalars(query.order_by(Run.id.desc()).limit(limit))))


def with_sums(tenant_id: uuid.UUID, found: list[Run]) -> list[RunRow]:
    """Return these runs with their sums, in their order."""
    sums = _sums(tenant_id, [run.id for run in found])
    return [RunRow(run, sums.get(run.id, dict.fromkeys(COUNTERS, 0))) for run in found]


def _sums(tenant_id: uuid.UUID, run_ids: list[uuid.UUID]) -> dict[uuid.UUID, dict[str, int]]:
    columns = [func.sum(getattr(RunStream, name)) for name in COUNTERS]
    rows = db.session.execute(
        select(RunStream.run_id, *columns)
        .where(RunStream.tenant_id == tenant_id, RunStream.run_id.in_(run_ids))
        .group_by(RunStream.run_id)
    )
    return {row[0]: dict(zip(COUNTERS, map(int, row[1:]), strict=True)) for row in rows}


def get_row(tenant_id: uuid.UUID, run_id: uuid.UUID) -> RunRow:
    """Return one run with its sums, or raise NotFoundError."""
    run = runs.get_run(tenant_id, run_id)
    return RunRow(run, _sums(tenant_id, [run_id]).get(run_id, dict.fromkeys(COUNTERS, 0)))


def get_progress(tenant_id: uuid.UUID, run_id: uuid.UUID, *, at: datetime | None = None) -> Progress:
    """Return how far a run is; the rate is that of the whole run so far."""
    streams = list_streams(tenant_id, run_id)
    sums = {name: sum(getattr(stream, name) for stream in streams) for name in COUNTERS}
    row = RunRow(runs.get_run(tenant_id, run_id), sums)
    totals = [stream.total for stream in streams if stream.mode == "full" or stream.total]
    known = [total for total in totals if total is not None]
    total = sum(known) if streams and len(known) == len(streams) else None
    seconds = ((at or now()) - row.run.started_at).total_seconds() if row.run.started_at else 0
    rate = row.sums["read"] / seconds if seconds >= 1 and row.sums["read"] else None
    remaining = max(total - row.sums["read"], 0) / rate if total and rate else None
    return Progress(row, streams, row.sums["read"], total, rate, remaining)


# Of more failed records or conflicts it is not counted which of them are linked; the query looks no further.
_MOST = 1_000


@dataclass(frozen=True)
class Counts:
    """What the overview of an installation counts. `disputed`: linked records that failed or are in conflict.

    It is None where there are too many to look each of them up.
    """

    changed_today: int
    refused: int
    conflicts: int
    disputed: int | None

    @property
    def not_in_sync(self) -> int:
        """Records that were refused or wait for a decision."""
        return self.refused + self.conflicts


def counts(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Counts:
    """Return the counts of an installation's overview."""
    changed = (
        select(func.coalesce(func.sum(RunStream.created + RunStream.updated + RunStream.linked + RunStream.deleted), 0))
        .join(Run, (Run.tenant_id == RunStream.tenant_id) & (Run.id == RunStream.run_id))
        .where(
            Run.tenant_id == tenant_id,
            Run.installation_id == installation_id,
            Run.id > first_at(now() - timedelta(days=1)),
        )
    )
    failed = select(func.count()).where(
        FailedRecord.tenant_id == tenant_id,
        FailedRecord.installation_id == installation_id,
        FailedRecord.state.in_(("waiting", "parked")),
    )
    open_conflicts = select(func.count()).where(
        Conflict.tenant_id == tenant_id, Conflict.installation_id == installation_id, Conflict.state == "open"
    )
    disputed = _DISPUTED.bindparams(tenant=tenant_id, installation=installation_id, most=_MOST + 1).columns(
        number=Integer
    )
    numbers = (changed, failed, open_conflicts, disputed)
    row = db.session.execute(select(*(query.scalar_subquery() for query in numbers))).one()
    found = Counts(*map(int, row))
    return replace(found, disputed=None) if found.not_in_sync > _MOST else found


# Each is looked up by its key: few records have failed, and links are many.
_DISPUTED = text("""
    SELECT count(*) AS number FROM (
        (SELECT stream, external_id FROM conflicts
        WHERE tenant_id = :tenant AND installation_id = :installation AND state = 'open' LIMIT :most)
        UNION
        (SELECT stream, external_id FROM failed_records WHERE tenant_id = :tenant AND installation_id = :installation
        AND direction = 'in' AND state IN ('waiting', 'parked') LIMIT :most)
        UNION
        (SELECT l.stream, l.external_id FROM failed_records f JOIN links l ON l.tenant_id = f.tenant_id
            AND l.record_id = f.record_id AND l.installation_id = f.installation_id AND l.stream = f.stream
        WHERE f.tenant_id = :tenant AND f.installation_id = :installation AND f.direction = 'out'
        AND f.state IN ('waiting', 'parked') LIMIT :most)
    ) named CROSS JOIN LATERAL (
        SELECT 1 FROM links l WHERE l.tenant_id = :tenant AND l.installation_id = :installation
        AND l.stream = named.stream AND l.external_id = named.external_id AND l.deleted_at IS NULL LIMIT 1
    ) linked
""")


@dataclass(frozen=True)
class Outgoing:
    """Writes to the other side: what waits and goes by itself, of what no answer came, and what became of a day's."""

    waiting: int
    in_doubt: int
    written: int
    refused: int


def count_outgoing(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Outgoing:
    """Return the counts of what is written to the other side."""
    states = intents.count_states(tenant_id, installation_id, now() - timedelta(days=1))
    doubtful = select(func.count()).where(
        FailedRecord.tenant_id == tenant_id, FailedRecord.installation_id == installation_id,
        FailedRecord.state == "parked", FailedRecord.code == failed_records.IN_DOUBT,
    )  # fmt: skip
    in_doubt = states.get("in_doubt", 0) + int(db.session.scalar(doubtful) or 0)
    waiting = states.get("planned", 0) + states.get("sent", 0)
    return Outgoing(waiting, in_doubt, states.get("confirmed", 0), states.get("rejected", 0))


def list_streams(tenant_id: uuid.UUID, run_id: uuid.UUID) -> list[RunStream]:
    """Return the streams of a run in order."""
    query = scoped(RunStream, tenant_id).where(RunStream.run_id == run_id).order_by(RunStream.position)
    return list(db.session.scalars(query))


def causes(tenant_id: uuid.UUID, run_id: uuid.UUID) -> list[tuple[str, str | None, str, int]]:
    """Return (stream, field, message of one, count) of the records that failed in a run and are still open."""
    rows = db.session.execute(
        select(FailedRecord.stream, FailedRecord.field, func.min(FailedRecord.message), func.count())
        .where(
            FailedRecord.tenant_id == tenant_id,
            FailedRecord.run_id == run_id,
            FailedRecord.state.in_(("waiting", "parked")),
        )
        .group_by(FailedRecord.stream, FailedRecord.field)
        .order_by(func.count().desc())
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def list_exchanges(tenant_id: uuid.UUID, run_id: uuid.UUID) -> list[HttpExchange]:
    """Return the redacted HTTP exchanges kept of a run, oldest first."""
    query = scoped(HttpExchange, tenant_id).where(HttpExchange.run_id == run_id).order_by(HttpExchange.id)
    return list(db.session.scalars(query.limit(100)))
