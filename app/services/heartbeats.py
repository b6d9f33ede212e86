"""Signs of life of the dispatcher and the workers; health reads them."""

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.db import db
from app.ids import new_id
from app.models.tasks import Heartbeat

ALIVE = timedelta(seconds=30)


def beat(name: str, kind: str, lane: str | None = None) -> None:
    """Say that process `name` lives."""
    values = {"id": new_id(), "name": name, "kind": kind, "lane": lane, "seen_at": now(), "created_at": now()}
    statement = insert(Heartbeat).values(values)
    db.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now()}))


def forget_dead() -> None:
    """Remove processes that have been silent for an hour."""
    db.session.execute(delete(Heartbeat).where(Heartbeat.seen_at < now() - timedelta(hours=1)))


def list_alive() -> list[tuple[str, str | None]]:
    """Return (kind, lane) of the processes seen in the last 30 seconds."""
    rows = db.session.execute(select(Heartbeat.kind, Heartbeat.lane).where(Heartbeat.seen_at > now() - ALIVE))
    return [(row[0], row[1]) for row in rows]
