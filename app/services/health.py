"""Whether the parts that work needs are there."""

from sqlalchemy import text

from app import queue
from app.db import db
from app.models.tasks import LANES
from app.services import heartbeats


def check_database(head: str | None) -> dict[str, bool]:
    """Return which of database, migrations, dispatcher and workers are fine."""
    version = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    alive = heartbeats.list_alive()
    lanes = {lane for kind, lane in alive if kind == "worker"}
    return {
        "database": True,
        "migrations": version == head,
        "dispatcher": any(kind == "dispatcher" for kind, _ in alive),
        "workers": lanes.issuperset(LANES),
    }


def check_redis(url: str) -> bool:
    """Whether Redis answers."""
    return bool(queue.connect(url).ping())
