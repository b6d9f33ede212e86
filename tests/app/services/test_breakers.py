"""Breakers in PostgreSQL: one probe for all workers, a budget of repetitions that holds, nothing kept in Redis (P05)."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
import redis
from flask import Flask
from sqlalchemy import event

from app.db import db
from app.services import breakers
from app.services.breakers import Key
from app.sync.breaker import Admission, Outcome
from app.transaction import transaction
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]
HOST, CONNECTION = Key("host", "api.example.com"), Key("connection", str(uuid.UUID(int=7)))
BOTH = (HOST, CONNECTION)


class Workers:
    """Every act in a transaction of its own, from any thread."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self._app, self._owner = apps["worker"], owner

    def act(self, what: Callable[[], Any]) -> Any:
        with self._app.app_context(), transaction():
            return what()

    def enter(self, holder: uuid.UUID | None = None, **options: Any) -> Admission:
        answer, _ = self.act(lambda: breakers.enter(BOTH, holder or uuid.uuid4(), **options))
        return answer  # type: ignore[no-any-return]

    def say(self, *outcomes: Outcome, holder: uuid.UUID | None = None, over: bool = True) -> None:
        calls = dict.fromkeys(BOTH, outcomes)
        self.act(lambda: breakers.record_calls(calls, holder or uuid.uuid4(), over=over))

    def state(self, key: Key = HOST) -> str:
        row = self._owner.execute("SELECT state FROM breakers WHERE (kind, key) = (%s, %s)", key).fetchone()
        return str(row[0]) if row else "none"

    def pause_over(self) -> None:
        self._owner.execute("UPDATE breakers SET open_until = now() - interval '1 s' WHERE state <> 'closed'")


@pytest.fixture
def workers(apps: dict[str, Flask], clean: None, owner: Owner) -> Workers:
    return Workers(apps, owner)


def test_what_nobody_has_called_may_be_called(workers: Workers) -> None:
    assert workers.enter() == Admission(True)
    assert workers.state() == "none", "asking writes nothing"


def test_failures_of_many_workers_add_up(workers: Workers) -> None:
    together(4, lambda _: workers.say("failed"))
    assert (workers.state(), workers.enter().go) == ("closed", True)
    workers.say("failed")
    assert (workers.state(), workers.state(CONNECTION)) == ("open", "open")
    refused = workers.enter()
    assert not refused.go
    assert 29 < refused.wait < 30 * 1.25 + 5


def test_what_they_know_outlives_redis(workers: Workers, environment: dict[str, str]) -> None:
    workers.say(*["failed"] * 5)
    redis.Redis.from_url(environment["REDIS_URL"]).flushall()
    assert not workers.enter().go


def test_one_worker_of_eight_gets_the_probe(workers: Workers) -> None:
    """Red without the lock on the row."""
    for _ in range(5):
        workers.say(*["failed"] * 5)
        workers.pause_over()
        holders = [uuid.uuid4() for _ in range(8)]
        answers = together(8, lambda number, holders=holders: workers.enter(holders[number]).go)
        assert sum(answers) == 1
        assert workers.state() == "half_open"
        workers.say("answered", holder=holders[answers.index(True)])
        assert (workers.state(), workers.state(CONNECTION)) == ("closed", "closed")


def test_no_probe_is_taken_of_one_breaker_while_the_other_lets_nobody_through(workers: Workers, owner: Owner) -> None:
    workers.say(*["failed"] * 5)
    owner.execute("UPDATE breakers SET open_until = now() - interval '1 s' WHERE kind = 'host'")
    assert not workers.enter().go
    assert (workers.state(), workers.state(CONNECTION)) == ("open", "open")


def test_a_probe_that_was_not_used_goes_to_the_next(workers: Workers) -> None:
    workers.say(*["failed"] * 5)
    workers.pause_over()
    first, second = uuid.uuid4(), uuid.uuid4()
    assert workers.enter(first).go
    workers.say(holder=first, over=False)
    assert not workers.enter(second).go
    workers.say(holder=first)
    assert workers.enter(second).go


def test_repetitions_stay_within_their_budget_whoever_makes_them(workers: Workers) -> None:
    """Red without the lock: several would take the last one."""
    workers.say(*["answered"] * 130)
    answers = together(20, lambda _: workers.enter(retry=True))
    assert [answer.go for answer in answers].count(True) == 13
    assert all(answer.over_budget and 0 < answer.wait <= 60 for answer in answers if not answer.go)
    assert workers.enter().go, "what is no repetition is not held up"


def test_nobody_waits_for_a_worker_that_holds_breakers_in_the_other_order(workers: Workers) -> None:
    def work(number: int) -> None:
        keys = BOTH if number % 2 else BOTH[::-1]
        for _ in range(20):
            workers.act(lambda: breakers.record_calls({key: ["answered"] for key in keys}, uuid.uuid4()))

    together(4, work)
    assert (workers.state(), workers.state(CONNECTION)) == ("closed", "closed")


@contextmanager
def statements(flask_app: Flask) -> Iterator[list[str]]:
    found: list[str] = []
    with flask_app.app_context():
        engine = db.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def test_the_statements_are_as_many_for_one_call_as_for_a_thousand(workers: Workers, apps: dict[str, Flask]) -> None:
    with statements(apps["worker"]) as found:
        workers.enter()
        assert len(found) == 1
        workers.say(*["answered"] * 1000)
        assert len(found) == 3
        workers.enter(retry=True)
        assert len(found) == 6


def test_a_breaker_that_was_forgotten_begins_anew(workers: Workers) -> None:
    workers.say(*["failed"] * 5)
    for key in BOTH:
        workers.act(lambda key=key: breakers.forget(key))
    assert workers.enter().go


def test_what_nobody_calls_any_more_goes_after_a_week(workers: Workers, owner: Owner) -> None:
    workers.say("answered")
    owner.execute("UPDATE breakers SET updated_at = now() - interval '8 days' WHERE kind = 'connection'")
    assert workers.act(breakers.prune) == 1
    assert (workers.state(), workers.state(CONNECTION)) == ("closed", "none")


def test_the_web_may_look_and_not_write(workers: Workers, environment: dict[str, str]) -> None:
    workers.say(*["failed"] * 5)
    with psycopg.connect(environment["PATCHBAY_WEB_URL"], autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM breakers WHERE state = 'open'").fetchone() == (2,)
        for statement in ("UPDATE breakers SET state = 'closed'", "DELETE FROM breakers"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    with (
        psycopg.connect(environment["PATCHBAY_DISPATCHER_URL"], autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT 1 FROM breakers")
