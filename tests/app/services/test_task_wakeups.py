"""A request for work that comes while the work is under way is never lost (J09)."""

import os
import random
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import update

from app import clock
from app.db import db
from app.models.mails import Mail
from app.services import tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome, Park
from app.tenancy import bind_tenant, scoped
from app.transaction import transaction
from tests.factories.tasks import Lane, together

Owner = psycopg.Connection[Any]
SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
A = uuid.UUID(int=1)


def serve(flask_app: Flask, lane: Lane, task: LeasedTask, pause: float) -> None:
    """Take the messages there are at the beginning, and only those."""
    with flask_app.app_context(), bind_tenant(task.tenant_id):
        with transaction():
            messages = scoped(Mail, task.tenant_id).where(Mail.recipient == task.key)
            found = [row.id for row in db.session.scalars(messages)]
        time.sleep(pause)
        with transaction():
            tasks.fence(task)
            db.session.execute(update(Mail).where(Mail.id.in_(found)).values(state="sent"))
    lane.end(task)


def test_every_wake_up_is_followed_by_a_run_that_began_after_it(
    lane: Lane, apps: dict[str, Flask], owner: Owner
) -> None:
    """J09: each key is asked for twice, a moment apart, with a message each time. Red without the rerun flag."""
    threads, keys = 2, (1250 if SOAK else 80)
    triggered = threading.Semaphore(0)

    def trigger(number: int, rng: random.Random) -> None:
        tenant_id = uuid.UUID(int=number + 1)
        for key in range(keys * 2):
            with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
                db.session.add(Mail(tenant_id=tenant_id, recipient=str(key // 2), subject="", template=""))
                tasks.add_task(tenant_id, "sync", "sync", str(key // 2))
            time.sleep(rng.random() * 0.006)
        triggered.release()

    def work(number: int) -> None:
        rng = random.Random(number)
        if number < threads:
            trigger(number, rng)
            return
        while lane.count("state IN ('ready', 'leased')") or triggered._value < threads:
            task = lane.claim(str(number))
            if task:
                serve(apps["worker"], lane, task, rng.random() * 0.006)

    together(threads + 4, work)
    found = owner.execute("SELECT state, count(*) FROM mails GROUP BY 1").fetchall()
    assert found == [("sent", keys * 2 * threads)]


@pytest.mark.parametrize("outcome", [Done(), Park("x"), Again(datetime(2040, 1, 1, tzinfo=UTC))])
def test_a_wake_up_during_the_work_outlives_every_end(lane: Lane, outcome: Outcome) -> None:
    lane.add(A)
    task = lane.take()
    lane.add(A)
    assert lane.row("state", "rerun") == ("leased", True)
    lane.end(task, outcome)
    assert lane.row("state", "rerun", "attempts", "finished_at") == ("ready", False, 0, None)
    lane.end(lane.take())
    assert (lane.row("state"), lane.count()) == (("done",), 1)


def test_a_wake_up_outlives_the_last_failure_and_the_last_lost_worker(lane: Lane) -> None:
    lane.add(A, max_attempts=1)
    task = lane.take()
    lane.add(A)
    lane.act(task, lambda: tasks.fail(task, "broken"))
    assert lane.row("state", "attempts", "last_error") == ("ready", 0, "broken")
    lane.take()
    lane.add(A)
    lane.expire()
    lane.sweep()
    assert lane.row("state", "attempts") == ("ready", 0)
    lane.take()
    lane.expire()
    lane.sweep()
    assert lane.row("state") == ("dead",)


def test_the_earliest_of_several_wake_ups_counts(lane: Lane, still: datetime) -> None:
    later = still + timedelta(hours=1)
    lane.add(A, due_at=later)
    lane.add(A)
    assert lane.row("due_at") == (still,)
    task = lane.take()
    lane.add(A, due_at=later)
    assert lane.row("due_at", "rerun") == (later, True)
    lane.add(A)
    lane.add(A, due_at=later)
    lane.end(task)
    assert lane.row("state", "due_at") == ("ready", still)


def test_a_wake_up_for_later_does_not_put_off_lost_work(lane: Lane) -> None:
    lane.add(A)
    lane.take()
    lane.add(A, due_at=clock.now() + timedelta(hours=1))
    lane.expire()
    assert lane.sweep() == 1
    assert lane.take().attempts == 2
