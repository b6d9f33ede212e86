"""Tasks: claimed once, fenced, swept, and what each way to end does (J01-J04)."""

import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import clock
from app.services import tasks
from app.services.tasks import Again, Done, LeasedTask, LeaseLostError, Park
from app.sync.backoff import backoff
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tasks import Lane, together

Owner = psycopg.Connection[Any]
SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
A = uuid.UUID(int=1)


def test_every_task_is_claimed_exactly_once_and_nobody_starves(lane: Lane) -> None:
    """J01: producers and workers at once."""
    producers, each, workers = (20, 200, 8) if SOAK else (6, 40, 4)
    claimed: Counter[int] = Counter()
    seen: Counter[uuid.UUID] = Counter()
    lock = threading.Lock()

    def work(number: int) -> None:
        if number >= workers:
            for n in range(each):
                lane.add(uuid.UUID(int=number), str(n))
            return
        while sum(claimed.values()) < producers * each:
            task = lane.claim(str(number))
            if task is None:
                time.sleep(0.002)
                continue
            lane.end(task)
            with lock:
                claimed[number] += 1
                seen[task.id] += 1

    together(producers + workers, work)
    assert len(seen) == producers * each
    assert set(seen.values()) == {1}
    assert lane.count("state = 'done'") == producers * each
    assert min(claimed[number] for number in range(workers)) >= producers * each // workers // 5


def test_many_requests_at_once_make_one_live_task(lane: Lane) -> None:
    """J02, and on connections that have long used prepared statements."""
    for _ in range(8):
        together(8, lambda _: lane.add(A))
    assert (lane.count(), lane.count("state = 'ready'")) == (1, 1)
    lane.end(lane.take())
    lane.add(A)
    assert (lane.count(), lane.count("state = 'ready'")) == (2, 1)


def test_sweep_and_finish_at_the_same_instant_agree(lane: Lane) -> None:
    """J03: what was done stays done; what was swept cannot be finished any more."""
    rounds, lost = (2000 if SOAK else 60), 0
    for _ in range(rounds):
        lane.add(A)
        task = lane.take()
        lane.expire()

        def finish(number: int, task: LeasedTask = task) -> bool:
            if number:
                lane.sweep()
                return True
            try:
                lane.end(task)
            except LeaseLostError:
                return False
            return True

        ended = together(2, finish)[0]
        assert lane.row("state") == (("done",) if ended else ("ready",))
        if not ended:
            lost += 1
            lane.end(lane.take())
    print(f"\nROUNDS {rounds} SWEPT FIRST {lost}")


def test_a_worker_whose_task_was_taken_over_changes_nothing(lane: Lane) -> None:
    """J04: the old token neither renews, ends nor fails it."""
    lane.add(A)
    old = lane.take()
    lane.expire()
    assert lane.sweep() == 1
    new = lane.take()
    assert (old.id, old.token + 1, new.attempts) == (new.id, new.token, 2)
    before = lane.row("state", "lease_token", "lease_until", "attempts", "last_error", "due_at")
    acts: list[Callable[[], Any]] = [
        lambda: tasks.fence(old), lambda: tasks.fail(old, "x"),
        *(lambda outcome=outcome: tasks.end(old, outcome) for outcome in (Done(), Again(clock.now()), Park("x"))),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(LeaseLostError):
            lane.act(old, act)
    assert lane.row("state", "lease_token", "lease_until", "attempts", "last_error", "due_at") == before
    lane.act(new, lambda: tasks.fence(new))
    lane.end(new)


def test_a_late_worker_nobody_took_over_from_may_go_on(lane: Lane) -> None:
    lane.add(A)
    task = lane.take()
    lane.expire()
    lane.act(task, lambda: tasks.fence(task))
    assert lane.sweep() == 0
    lane.end(task)
    assert lane.row("state", "lease_until") == ("done", None)


def test_an_error_is_tried_again_later_and_dead_after_the_last_try(lane: Lane, still: datetime) -> None:
    lane.add(A, max_attempts=3)
    for attempt in (1, 2, 3):
        task = lane.take()
        assert (task.attempts, task.max_attempts) == (attempt, 3)
        lane.act(task, lambda task=task: tasks.fail(task, "ValueError in sync"))
        if attempt < 3:
            due = still + timedelta(seconds=backoff(attempt, seed=str(task.id)))
            assert lane.row("state", "due_at", "last_error") == ("ready", due, "ValueError in sync")
            lane.pull_forward()
    assert lane.row("state", "attempts") == ("dead", 3)
    lane.add(A)
    assert (lane.count("state = 'dead'"), lane.count("state = 'ready'")) == (1, 1)


def test_a_parked_task_waits_for_a_person_and_makes_room(lane: Lane) -> None:
    lane.add(A)
    lane.end(lane.take(), Park("E-mail is not set up."))
    assert lane.row("state", "last_error", "lease_until") == ("parked", "E-mail is not set up.", None)
    assert lane.claim() is None
    lane.add(A)
    lane.end(lane.take())
    assert lane.count("state = 'parked'") == 1


def test_again_is_not_before_its_time_and_starts_counting_anew(lane: Lane) -> None:
    lane.add(A)
    lane.end(lane.take(), Again(clock.now() + timedelta(hours=1)))
    assert (lane.row("state", "attempts"), lane.claim()) == (("ready", 0), None)
    lane.pull_forward()
    assert lane.take().attempts == 1


def break_off() -> None:
    tasks.add_task(A, "sync", "sync", "one")
    raise KeyError


def test_nothing_is_added_by_a_transaction_that_rolls_back(lane: Lane, apps: dict[str, Flask]) -> None:
    with apps["web"].app_context(), bind_tenant(A), pytest.raises(KeyError), transaction():
        break_off()
    assert (lane.count(), lane.bells()) == (0, 0)
