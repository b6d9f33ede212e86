"""What a full pass costs: the figures of the last one, told before a change makes the next run read all again."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on

from app.db import db
from app.models.runs import Run, RunStream


@dataclass(frozen=True)
class Cost:
    """What reading a stream from its first page to its last took: records, calls at least, seconds."""

    records: int
    calls: int
    seconds: float


def costs_of(tenant_id: uuid.UUID, installation_id: uuid.UUID, streams: Collection[str]) -> dict[str, Cost]:
    """Return stream -> cost of its last full pass; a stream that has had none is left out."""
    rows = db.session.execute(
        select(
            RunStream.stream, func.greatest(RunStream.read, RunStream.total), RunStream.pages,
            func.extract("epoch", RunStream.finished_at - RunStream.started_at),
        )
        .join(Run, (Run.tenant_id == RunStream.tenant_id) & (Run.id == RunStream.run_id))
        .where(
            Run.tenant_id == tenant_id, Run.installation_id == installation_id, RunStream.stream.in_(streams),
            RunStream.mode == "full", RunStream.state == "done",
        )
        .ext(distinct_on(RunStream.stream))
        .order_by(RunStream.stream, Run.id.desc())
    )  # fmt: skip
    return {stream: Cost(int(read), max(1, pages), float(seconds or 0)) for stream, read, pages, seconds in rows}


def cost_of(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> Cost | None:
    """Return what the last full pass of a stream cost, None when there was none."""
    return costs_of(tenant_id, installation_id, [stream]).get(stream)
