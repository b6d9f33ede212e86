"""Whether the parts that work needs are there."""

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import log, queue
from app.db import db
from app.models.tasks import LANES
from app.services import heartbeats

_logger = log.logger(__name__)


def check_all(head: str | None, redis_url: str) -> dict[str, bool]:
    """Return part -> whether it is fine; what cannot be reached is not."""
    found = dict.fromkeys(("database", "redis", "migrations", "dispatcher", *map(_flag, LANES)), False)
    try:
        found |= _check_database(head)
    except SQLAlchemyError as error:
        _logger.warning("database not available", error=type(error).__name__)
    try:
        found["redis"] = bool(queue.connect(redis_url).ping())
    except (RedisError, OSError) as error:
        _logger.warning("redis not available", error=type(error).__name__)
    return found


def _check_database(head: str | None) -> dict[str, bool]:
    version = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    alive = heartbeats.list_alive()
    return {
        "database": True,
        "migrations": version == head,
        "dispatcher": any(kind == "dispatcher" for kind, _ in alive),
        **{_flag(lane): ("worker", lane) in alive for lane in LANES},
    }


def _flag(lane: str) -> str:
    return f"worker_{lane}"
