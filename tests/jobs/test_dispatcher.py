"""The dispatcher: one is active, a spare takes over, each slot fires once, what is lost is rung again."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app import clock, create_app
from app.config import load_settings
from app.db import db
from app.tenancy import PLATFORM_TENANT
from jobs.dispatcher import Dispatcher
from tests.factories.tasks import Lane, together
from tests.factories.tenants import make_tenant
from tests.processes import wait_for

Owner = psycopg.Connection[Any]
A = uuid.UUID(int=1)


class Process:
    """A dispatcher with connections of its own; it ticks in a thread or by hand."""

    def __init__(self, environment: dict[str, str], tick: float = 0.02, **settings: str) -> None:
        self.app = create_app(
            "dispatcher", load_settings({**environment, "PATCHBAY_TICK_SECONDS": str(tick), **settings})
        )
        self.dispatcher = Dispatcher(self.app)
        self.ticks = 0
        self._thread = threading.Thread(target=self.dispatcher.run, daemon=True)

    def start(self) -> None:
        """Wait for the turn and tick; count the ticks."""
        tick = self.dispatcher.tick

        def counted() -> None:
            self.ticks += 1
            tick()

        self.dispatcher.tick = counted  # type: ignore[method-assign]
        self._thread.start()

    def tick(self) -> None:
        """Tick once, whoever is active."""
        with self.app.app_context():
            self.dispatcher.tick()

    def stop(self) -> None:
        """End as by SIGTERM."""
        self.dispatcher.ended.set()
        if self._thread.ident:
            self._thread.join(10)
        with self.app.app_context():
            db.engine.dispose()


@pytest.fixture
def pair(environment: dict[str, str], clean: None) -> Iterator[list[Process]]:
    """Two dispatchers; the first ticks only once in ten minutes."""
    found = [Process(environment, 600), Process(environment)]
    yield found
    for process in found:
        process.stop()


@pytest.fixture
def lane(apps: dict[str, Flask], clean: None, owner: Owner) -> Lane:
    return Lane(apps, owner)


def holders(owner: Owner) -> list[int]:
    rows = owner.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = 7301001 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchall()
    return [row[0] for row in rows]


def slots(apps: dict[str, Flask], owner: Owner, count: int) -> None:
    """Make installations whose slots were due three hours ago."""
    tenant_id = make_tenant(apps)
    owner.execute("INSERT INTO connections (tenant_id, id, connector) SELECT %s, gen_random_uuid(), 'kinto' "
                  "FROM generate_series(1, %s)", (tenant_id, count))  # fmt: skip
    owner.execute("INSERT INTO installations (tenant_id, id, connector, listing_version_id, connection_id, name) "
                  "SELECT tenant_id, gen_random_uuid(), connector, (SELECT id FROM listing_versions LIMIT 1), id, 'K' "
                  "FROM connections")  # fmt: skip
    owner.execute("INSERT INTO schedules (tenant_id, id, installation_id, active, next_due_at) SELECT tenant_id, "
                  "gen_random_uuid(), id, true, now() - interval '3 h' FROM installations")  # fmt: skip


def test_the_spare_takes_over_when_the_first_ones_connection_ends(pair: list[Process], owner: Owner) -> None:
    first, spare = pair
    first.start()
    before = wait_for(lambda: holders(owner), 10, every=0.01)
    spare.start()
    assert holders(owner) == before
    owner.execute("SELECT pg_terminate_backend(%s)", (before[0],))
    wait_for(lambda: holders(owner) not in ([], before), 10, every=0.01, about="the spare")
    assert len(holders(owner)) == 1


def test_the_spare_takes_over_when_the_first_one_is_told_to_end(pair: list[Process], owner: Owner) -> None:
    first, spare = pair
    first.start()
    before = wait_for(lambda: holders(owner), 10, every=0.01)
    spare.start()
    first.stop()
    wait_for(lambda: holders(owner) not in ([], before), 10, every=0.01, about="the spare")


def test_work_goes_on_after_ticks_that_failed(environment: dict[str, str], lane: Lane, owner: Owner) -> None:
    """Red when the lock goes back to the pool with its connection: it is kept there and nobody is active."""
    lane.add(A)
    lane.take()
    lane.expire()
    owner.execute("ALTER TABLE schedules RENAME TO schedules_away")
    process = Process(environment)
    try:
        process.start()
        wait_for(lambda: process.ticks >= 3, 10, every=0.01, about="ticks that fail")
    finally:
        owner.execute("ALTER TABLE schedules_away RENAME TO schedules")
    wait_for(lambda: lane.row("state") == ("ready",), 10, every=0.01, about="the sweep")
    process.stop()
    wait_for(lambda: holders(owner) == [], 10, every=0.01, about="PostgreSQL to notice that it has gone")


def test_each_slot_fires_once_even_with_two_that_tick(
    pair: list[Process], apps: dict[str, Flask], owner: Owner, lane: Lane
) -> None:
    """J05, J06: slots missed for three hours make one run each. Tasks end at once, so a second one would be seen."""
    slots(apps, owner, 150)
    due = "SELECT count(*) FROM schedules WHERE next_due_at <= now()"

    def work(number: int) -> None:
        while owner.execute(due).fetchone() != (0,):
            if number < 2:
                pair[number].tick()
            owner.execute("UPDATE tasks SET state = 'done', finished_at = now() WHERE kind = 'sync'")

    together(3, work)
    pair[0].tick()
    row = owner.execute("SELECT count(*), count(DISTINCT key) FROM tasks WHERE kind = 'sync'").fetchone()
    assert row == (150, 150)
    row = owner.execute("SELECT count(*) FROM schedules WHERE next_due_at > now()").fetchone()
    assert row == (150,)


def test_a_schedule_that_is_off_or_not_due_does_not_fire(
    pair: list[Process], apps: dict[str, Flask], owner: Owner, lane: Lane
) -> None:
    slots(apps, owner, 3)
    owner.execute("UPDATE schedules SET active = false")
    pair[0].tick()
    owner.execute("UPDATE schedules SET active = true, next_due_at = now() + interval '1 min'")
    pair[0].tick()
    owner.execute("UPDATE schedules SET kind = 'manual', next_due_at = NULL")
    pair[0].tick()
    assert lane.count("kind = 'sync'") == 0


def test_an_expired_lease_is_freed_and_rung_and_the_last_one_is_dead(pair: list[Process], lane: Lane) -> None:
    lane.add(A, max_attempts=2)
    lane.take()
    pair[0].tick()
    assert lane.row("state") == ("leased",)
    lane.expire()
    lane.empty_redis()
    pair[0].tick()
    assert (lane.row("state", "attempts"), lane.bells()) == (("ready", 1), 1)
    lane.take()
    lane.expire()
    pair[0].tick()
    assert lane.row("state", "last_error") == ("dead", "The worker was lost each time (crash limit).")


def test_an_emptied_redis_is_rung_again_and_never_overfilled(pair: list[Process], lane: Lane) -> None:
    """F08: the rows are the truth; two bells are enough for the one worker that is assumed."""
    for number in range(5):
        lane.add(A, str(number))
    assert lane.bells() == 2
    lane.empty_redis()
    for _ in range(3):
        pair[0].tick()
        assert lane.bells() == 2


def test_without_redis_the_rows_are_dispatched_all_the_same(environment: dict[str, str], lane: Lane) -> None:
    process = Process(environment, REDIS_URL="redis://127.0.0.1:1/0")
    lane.add(A)
    lane.take()
    lane.expire()
    process.tick()
    assert lane.row("state") == ("ready",)
    process.stop()


def test_daily_tasks_are_asked_for_once_a_day(pair: list[Process], lane: Lane, owner: Owner) -> None:
    moment = datetime.now(UTC)
    try:
        for hours, expected in ((0, 1), (1, 1), (23, 1), (25, 2), (26, 2), (50, 3)):
            clock.replace_source(lambda hours=hours: moment + timedelta(hours=hours))
            pair[0].tick()
            owner.execute("UPDATE tasks SET state = 'done'")
            for kind in ("prune", "check_writes"):
                assert lane.count(f"kind = '{kind}'") == expected
    finally:
        clock.replace_source(None)
    rows = owner.execute("SELECT DISTINCT tenant_id, lane, key FROM tasks WHERE kind <> 'fold_volumes'").fetchall()
    assert rows == [(PLATFORM_TENANT, "send", "daily")]


def test_hours_are_counted_four_times_an_hour(pair: list[Process], lane: Lane, owner: Owner) -> None:
    moment = datetime.now(UTC)
    try:
        for minutes, expected in ((0, 1), (14, 1), (16, 2), (31, 2), (32, 3)):
            clock.replace_source(lambda minutes=minutes: moment + timedelta(minutes=minutes))
            pair[0].tick()
            owner.execute("UPDATE tasks SET state = 'done'")
            assert lane.count("kind = 'fold_volumes'") == expected
    finally:
        clock.replace_source(None)


def test_a_failed_tick_does_not_skip_the_days_pruning(pair: list[Process], lane: Lane, owner: Owner) -> None:
    owner.execute("ALTER TABLE heartbeats RENAME TO heartbeats_away")
    try:
        with pytest.raises(SQLAlchemyError):
            pair[0].tick()
    finally:
        owner.execute("ALTER TABLE heartbeats_away RENAME TO heartbeats")
    pair[0].tick()
    assert lane.count("kind = 'prune'") == 1
    assert owner.execute("SELECT kind FROM heartbeats").fetchall() == [("dispatcher",)]


def test_processes_that_have_been_silent_for_an_hour_are_forgotten(pair: list[Process], owner: Owner) -> None:
    owner.execute("INSERT INTO heartbeats (id, name, kind, seen_at) VALUES (gen_random_uuid(), 'old', 'worker', "
                  "now() - interval '61 min'), (gen_random_uuid(), 'new', 'worker', now())")  # fmt: skip
    pair[0].tick()
    names = owner.execute("SELECT name FROM heartbeats WHERE kind = 'worker'").fetchall()
    assert names == [("new",)]
