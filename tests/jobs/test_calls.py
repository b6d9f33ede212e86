"""Each call is checked against and noted for the breakers, in whichever thread it is made."""

import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services.breakers import Key
from app.services.tasks import LeasedTask
from app.sync.breaker import VendorDownError
from app.transaction import guard_outside, transaction
from connectors.sdk import EgressError, TooLargeError, UnavailableError
from jobs import calls as calls_module
from jobs.calls import Calls, MeteredClient
from jobs.calls import Vendor as Called
from jobs.drain import Slice
from tests.connectors.sdk.servers import ALLOW, VENDOR_HOST, Talker, Vendor

Owner = psycopg.Connection[Any]


class Setup:
    """A vendor whose status is set, and clients of tasks that call it."""

    def __init__(self, owner: Owner) -> None:
        self.status, self.owner = 200, owner
        self.server = Vendor(lambda _call: (self.status, {}, b"x" * 2000 if self.status == 201 else {}))
        self.called = Called("Acme", self.server.origin.removeprefix("http://"), uuid.uuid4())

    def client(self, calls: Calls, **options: Any) -> MeteredClient:
        options = {"hosts": [self.server.origin], "allow": ALLOW, "guard": guard_outside} | options
        return MeteredClient(vendor=self.called, calls=calls, **options)

    def get(self, calls: Calls, times: int = 1, **options: Any) -> None:
        for _ in range(times):
            self.client(calls, **options).request("GET", f"{self.server.origin}/x")

    def rows(self) -> dict[str, tuple[Any, ...]]:
        rows = self.owner.execute("SELECT kind, state, calls, failures FROM breakers").fetchall()
        return {row[0]: tuple(row[1:]) for row in rows}


@pytest.fixture
def setup(worker_app: Flask, owner: Owner) -> Iterator[Setup]:
    found = Setup(owner)
    yield found
    found.server.stop()


def test_successes_are_written_at_the_end_for_host_and_connection(setup: Setup) -> None:
    with calls_module.recorded():
        setup.get(calls_module.current(), 3)
        calls_module.current().write_if_due()
        assert setup.rows() == {}
    assert setup.rows() == dict.fromkeys(("host", "connection"), ("closed", 3, 0))


def test_a_failure_is_written_at_the_next_step(setup: Setup) -> None:
    with calls_module.recorded():
        setup.status = 503
        setup.get(calls_module.current())
        nothing = LeasedTask(uuid.uuid4(), uuid.uuid4(), 1, "sync", "sync", "k", None, 1, 5)
        assert not Slice(nothing, 60).over()
        assert setup.rows()["host"] == ("closed", 1, 1)
    assert setup.rows()["host"] == ("closed", 1, 1), "and not once more at the end"


def test_the_call_that_opens_says_so_and_the_next_is_not_made(setup: Setup) -> None:
    calls, setup.status = Calls(), 503
    setup.get(calls, 4)
    for count, sent in ((5, True), (5, False)):
        with pytest.raises(VendorDownError, match="its breaker is open") as caught:
            setup.get(calls)
        assert (len(setup.server.calls), caught.value.sent) == (count, sent)
    assert caught.value.user_message == "Acme has not answered several times in a row, so it is not called for a while."
    assert 29 < (caught.value.retry_after or 0) < 38


def test_what_other_workers_have_found_ends_the_calls_of_this_one(setup: Setup) -> None:
    mine, theirs = Calls(), Calls()
    setup.get(mine)
    setup.status = 503
    with pytest.raises(VendorDownError):
        setup.get(theirs, 5)
    theirs.write()
    mine.write(over=False)
    with pytest.raises(VendorDownError):
        setup.get(mine)
    assert len(setup.server.calls) == 6


@pytest.mark.parametrize("trouble", ["nobody listens", "no such host", "says nothing"])
def test_no_answer_is_a_failure(setup: Setup, trouble: str) -> None:
    calls, options = Calls(), {"timeout": 0.2}
    silent = Talker(lambda connection: connection.recv(1))  # type: ignore[arg-type,return-value]
    with socket.socket() as closed:
        closed.bind((VENDOR_HOST, 0))
        origin = {
            "nobody listens": f"http://{VENDOR_HOST}:{closed.getsockname()[1]}", "no such host": "http://gone.invalid",
            "says nothing": silent.origin,
        }[trouble]  # fmt: skip
        client = setup.client(calls, **options)
        client.hosts = [origin, "gone.invalid"]
        with pytest.raises(UnavailableError):
            client.request("GET", f"{origin}/x")
    silent.stop()
    calls.write()
    assert setup.rows()["host"] == ("closed", 1, 1)


def test_what_was_never_sent_says_nothing_and_a_bad_answer_is_one(setup: Setup) -> None:
    calls = Calls()
    with pytest.raises(EgressError):
        setup.client(calls).request("GET", "https://elsewhere.example.com/")
    calls.write()
    assert setup.rows() == {}
    setup.status = 201
    with pytest.raises(TooLargeError):
        setup.get(calls, max_bytes=1000)
    calls.write()
    assert setup.rows()["host"] == ("closed", 1, 0)


def test_a_thread_that_reads_ahead_is_counted_too(setup: Setup) -> None:
    with calls_module.recorded():
        client = setup.client(calls_module.current(), guard=None)
        reader = threading.Thread(target=lambda: client.request("GET", f"{setup.server.origin}/x"))
        reader.start()
        reader.join()
    assert setup.rows()["host"] == ("closed", 1, 0)


def enter(setup: Setup, calls: Calls, **options: Any) -> None:
    with transaction():
        calls.enter(setup.called, **options)


def break_it(setup: Setup) -> None:
    setup.status, calls = 503, Calls()
    with pytest.raises(VendorDownError):
        setup.get(calls, 5)
    calls.write()
    setup.owner.execute("UPDATE breakers SET open_until = now() - interval '1 s'")
    setup.status = 200


def test_a_task_asks_once_and_its_probe_is_written_when_it_has_worked(setup: Setup) -> None:
    break_it(setup)
    calls = Calls()
    enter(setup, calls)
    enter(setup, calls)
    with pytest.raises(VendorDownError) as caught:
        enter(setup, Calls())
    assert 5 <= (caught.value.retry_after or 0) <= 10
    setup.get(calls)
    calls.write_if_due()
    assert setup.rows()["host"][0] == setup.rows()["connection"][0] == "closed"
    enter(setup, Calls())


def test_a_task_that_fails_before_it_calls_gives_its_probe_back(setup: Setup) -> None:
    break_it(setup)

    def work() -> None:
        with calls_module.recorded():
            enter(setup, calls_module.current())
            raise KeyError

    with pytest.raises(KeyError):
        work()
    enter(setup, Calls())


def test_a_database_that_is_away_takes_nothing_from_the_task(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, owner: Owner
) -> None:
    with calls_module.recorded():
        setup.get(calls_module.current())
        owner.execute("ALTER TABLE breakers RENAME TO away")
    owner.execute("ALTER TABLE away RENAME TO breakers")
    assert setup.rows() == {}


def test_the_host_is_asked_first_and_a_test_asks_it_alone(setup: Setup) -> None:
    keys = setup.called.keys
    assert [key.kind for key in keys] == ["host", "connection"]
    assert Called("Acme", None).keys == ()
    assert Called("Acme", "h").keys == (Key("host", "h"),)
    break_it(setup)
    setup.owner.execute("UPDATE breakers SET open_until = now() + interval '1 h' WHERE kind = 'connection'")
    with pytest.raises(VendorDownError):
        enter(setup, Calls())
    enter(setup, Calls(), testing=True)
