"""Undo of a run: looked at first, then done after a person has said so. The work itself is in undo_batches.py.

`runs.undo` holds how far it is and is written in the transaction of each batch, so a worker that is lost repeats none:
step (look, ready, undo, done), position (the last change seen), seen and total, counts, samples, and what is left alone.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from app.clock import now
from app.db import db
from app.errors import ConflictError
from app.models.installations import Installation
from app.models.runs import Run
from app.services import audit, intents, run_reports, runs, tasks

_KINDS = ("put_back", "delete", "bring_back", "edited", "same")


@dataclass(frozen=True)
class Undo:
    """An undo as pages show it. `lost`: changes of the run that the journal no longer holds, `ended`: links it ended
    without deleting their record.
    """  # fmt: skip

    run: Run
    lost: int
    ended: int
    stuck: bool

    @property
    def state(self) -> dict[str, Any]:
        """What `runs.undo` says."""
        return self.run.undo or fresh("look")

    @property
    def step(self) -> str:
        """look, ready, undo or done; empty when nobody has asked for it."""
        return str(self.run.undo["step"]) if self.run.undo else ""

    @property
    def changes(self) -> int:
        """How many records are changed by it, or have been so far."""
        return sum(self.state["counts"][kind] for kind in ("put_back", "delete", "bring_back"))

    @property
    def at(self) -> datetime:
        """When the last batch was looked at."""
        return datetime.fromisoformat(self.state["at"])

    @property
    def percent(self) -> int:
        """How much of the journal has been gone through."""
        return min(99, 100 * self.state["seen"] // self.state["total"]) if self.state["total"] else 0


@dataclass(frozen=True)
class Destination:
    """Where former values are written as well: a stream that flows out, and up to how many records."""

    name: str
    stream: str
    count: int


def fresh(step: str) -> dict[str, Any]:
    """Return `runs.undo` at the start of a step."""
    return {
        "step": step, "position": None, "seen": 0, "total": 0, "operations": {}, "counts": dict.fromkeys(_KINDS, 0),
        "sends": {}, "samples": [], "left": [], "at": now().isoformat(),
    }  # fmt: skip


def writer_of(run: Run) -> str:
    """Return the name under which the journal has the undo of a run."""
    return f"Undo of the run of {run.created_at:%-d %B %Y, %H:%M} UTC"


def why_not(run: Run) -> str | None:
    """Return why a run cannot be undone, None when it can."""
    if run.undone_at is not None:
        return "This run has been undone already."
    if run.state in (*runs.LIVE_STATES, "asking"):
        return "This run is not over yet."
    return None


def look(tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Have a worker look what the undo of a run would do; nothing is changed. ConflictError says why it cannot be."""
    run = lock_run(tenant_id, run_id)
    reason = why_not(run)
    if reason:
        raise ConflictError(reason)
    if run.undo is None or run.undo["step"] == "ready":
        run.undo = fresh("look")
    _queue(tenant_id, run_id)


def begin(tenant_id: uuid.UUID, run_id: uuid.UUID, user_id: uuid.UUID) -> None:
    """Have a run undone that was looked at; asked for twice it is undone once. ConflictError when it was not looked at."""
    run = lock_run(tenant_id, run_id)
    if run.undone_at is None:
        seen = run.undo or fresh("look")
        if seen["step"] != "ready":
            raise ConflictError("Look first at what would be undone.")
        counts = seen["counts"]
        if not counts["put_back"] + counts["delete"] + counts["bring_back"]:
            raise ConflictError("There is nothing to undo.")
        run.undone_at, run.undone_by = now(), user_id
        run.undo = fresh("undo") | {"by": audit.current_actor.get().name}
        name = runs.get_installation(tenant_id, run.installation_id).name
        audit.write(tenant_id, "run.undone", "run", str(run_id), name, installation_id=run.installation_id, **counts)
    if run.undo and run.undo["step"] == "undo":
        _queue(tenant_id, run_id)


def lock_run(tenant_id: uuid.UUID, run_id: uuid.UUID) -> Run:
    """Return a run, locked until the transaction ends, or raise NotFoundError."""
    run = runs.get_run(tenant_id, run_id)
    db.session.refresh(run, with_for_update=True)
    return run


def _queue(tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    tasks.add_task(tenant_id, "sync", "undo_run", str(run_id), ref=run_id)


def describe(tenant_id: uuid.UUID, run_id: uuid.UUID) -> Undo:
    """Return how far the undo of a run is, or what is known before anybody has asked for it."""
    row = run_reports.get_row(tenant_id, run_id)
    state = row.run.undo or fresh("look")
    has, looked = state["operations"], state["step"] in ("ready", "done") or bool(state["total"])
    written = sum(has.get(name, 0) for name in ("created", "restored", "updated", "linked"))
    under_way = state["step"] in ("look", "undo") and row.run.undo is not None
    return Undo(
        row.run, max(0, row.written - written) if looked else 0,
        max(0, row.sums["deleted"] - has.get("deleted", 0)) if looked else 0,
        stuck=under_way and not tasks.is_live(tenant_id, "undo_run", str(run_id)),
    )  # fmt: skip


def list_destinations(tenant_id: uuid.UUID, undo: Undo) -> list[Destination]:
    """Return the streams to which former values flow out."""
    outs = [
        (out, count) for object_type, count in undo.state["sends"].items()
        for out in intents.outs_of(tenant_id, object_type)
    ]  # fmt: skip
    names = dict(
        db.session.execute(
            select(Installation.id, Installation.name).where(
                Installation.tenant_id == tenant_id, Installation.id.in_([out.installation_id for out, _ in outs])
            )
        ).all()
    )
    return [Destination(names[out.installation_id], out.stream, count) for out, count in outs]
