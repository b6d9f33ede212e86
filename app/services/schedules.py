"""Schedules: what is due becomes a sync task. For the dispatcher."""

from sqlalchemy import select

from app.clock import now
from app.db import db
from app.models.installations import Schedule
from app.services import tasks
from app.sync.schedule import next_due

_BATCH = 500


def fire_due() -> int:
    """Turn every due schedule into a task and set its next slot, in one transaction; return how many."""
    due = db.session.scalars(
        select(Schedule)
        .where(Schedule.active, Schedule.next_due_at <= now())
        .order_by(Schedule.next_due_at)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    for schedule in due:
        tasks.add_task(
            schedule.tenant_id, "sync", "sync", str(schedule.installation_id), ref=schedule.installation_id,
            host=schedule.host,
        )  # fmt: skip
        schedule.next_due_at = next_due(
            schedule.kind, now(), minutes=schedule.minutes, at=schedule.at, zone=schedule.zone,
            seed=str(schedule.installation_id),
        )  # fmt: skip
    return len(due)
