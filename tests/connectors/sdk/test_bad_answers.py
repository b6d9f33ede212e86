"""Answers that are wrong (reliability V01-V06), through the real engine on PostgreSQL; lists and refusals are in the files beside.

Unless a test says otherwise the second page is the bad one: the run stops at the page that was committed before it, with a
named reason, and nothing of the bad page is written.
"""

import gzip
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.connectors.sdk.acme import (
    Acme,
    Sync,
    assert_recovers,
    assert_stopped,
    move,
    person,
    second,
)
from tests.connectors.sdk.servers import Talker


@pytest.mark.parametrize("after", ["7", "a date", None, "1000000000", "-5", "soon", "nan"])
def test_v01_429_is_waited_for(installed: Callable[..., Sync], acme: Acme, after: str | None) -> None:
    if after == "a date":
        after = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    acme.bad = second((429, {"Retry-After": after} if after else {}, {}))
    sync = installed()
    sync.drain()
    assert_stopped(sync, acme, "rate_limited")
    wait, state, tries = sync.run("extract(epoch FROM waiting_until - now())", "state", "tries")
    assert -1 <= wait <= 900
    assert (state, tries) == ("running", 0)
    calls = len(acme.calls())
    if after != "-5":
        sync.drain()
        assert len(acme.calls()) == calls, "a call inside the window"
    assert_recovers(sync, acme)


def test_v02_a_burst_of_500_loses_and_repeats_nothing(installed: Callable[..., Sync], acme: Acme) -> None:
    acme.people = [person(n) for n in range(20)]
    acme.bad = lambda call, _page: (500, {}, {}) if len(acme.calls()) % 5 == 0 else None
    sync = installed()
    sync.drain()
    assert sync.run("waiting_code") == ("vendor_down",)
    for _ in range(4):
        sync.again()
    assert sync.run("state") == ("done",)
    assert sync.rows() == (20, 20, 20)
    calls = len(acme.calls())
    # One more for the sample that the test of the connection takes; each failed call is made once more.
    assert calls == 1 + 10 + calls // 5


def test_v02_a_vendor_that_stays_down_fails_the_run_by_name(installed: Callable[..., Sync], acme: Acme) -> None:
    acme.bad = second((503, {}, {}))
    sync = installed()
    sync.drain()
    for _ in range(5):
        sync.again()
    # The host's breaker is open: the run waits, and nothing is called meanwhile.
    calls = len(acme.calls())
    sync.again()
    assert (sync.run("state", "waiting_code"), len(acme.calls())) == (("running", "vendor_down"), calls)
    # An outage that lasts longer than a day fails the run.
    sync.owner.execute("UPDATE runs SET started_at = now() - interval '25 hours'")
    for _ in range(4):
        sync.owner.execute("UPDATE breakers SET open_until = now(), probe_until = now()")
        sync.again()
    assert sync.run("state", "error_code") == ("failed", "vendor_down")
    assert_stopped(sync, acme, "vendor_down")
    assert len(acme.calls()) <= calls + 4


def test_v03_a_dead_vendor_holds_nobody_else(installed: Callable[..., Sync], acme: Acme) -> None:
    dead = Talker(lambda connection: connection.recv(1))
    try:
        stuck = installed()
        move(stuck, dead.origin)
        working = Sync(stuck.apps, stuck.owner, acme.origin)
        stuck.drain()
        assert stuck.run("state", "waiting_code") == ("running", "vendor_down")
        assert stuck.rows() == (0, 0, 0)
        assert (working.run("state"), working.rows()) == (("done",), (6, 6, 6))
        assert len(dead.requests) == 1
    finally:
        dead.stop()


def drip(connection: socket.socket) -> None:
    """Send a byte at a time, always sooner than the deadline of a single read, until nobody listens."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    connection.settimeout(0.1)
    for _ in range(200):
        connection.sendall(b" ")
        with suppress(TimeoutError):
            if connection.recv(1) == b"":
                return


def test_v04_an_answer_a_byte_at_a_time_is_cut_off(installed: Callable[..., Sync]) -> None:
    slow = Talker(drip)
    try:
        sync = installed()
        move(sync, slow.origin)
        sync.drain()
        assert sync.run("state", "waiting_code") == ("running", "vendor_down")
        assert sync.rows() == (0, 0, 0)
        assert len(slow.requests) == 1
    finally:
        slow.stop()


BAD_JSON: dict[str, Any] = {
    "truncated": b'{"data": [{"id": "p2", "email": "p2@exam',
    "NaN": b'{"data": [{"id": "p2", "score": NaN}]}',
    "a key twice": b'{"data": [{"id": "p2", "email": "p2@example.test", "email": "other@example.test"}]}',
    "a key twice, with spaces": b'{ "data" : [ { "id" : "p2", "id" : "p9" } ] }',
    "deep": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "another type": {"data": {"id": "p2"}},
    "no records": {"items": []},
    "a list": [{"id": "p2"}],
    "not UTF-8": b'{"data": [{"id": "p2", "first_name": "\xff\xfe"}]}',
    "half a character": b'{"data": [{"id": "p2", "first_name": "\\ud800"}]}',
    "sign-in page": b"<!doctype html><html><title>Sign in</title><form><input name=password></form></html>",
    "empty": b"",
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_v05_an_answer_that_cannot_be_read_is_used_for_nothing(
    installed: Callable[..., Sync], acme: Acme, body: Any
) -> None:
    acme.bad = second((200, {"Next-Page": acme.next_page(3)}, body))
    sync = installed()
    sync.drain()
    assert_stopped(sync, acme, "vendor_bad_data")
    kept = sync.owner.execute("SELECT max(length(response::text)) FROM exchanges").fetchone()
    assert kept is not None
    assert kept[0] < 8192
    assert_recovers(sync, acme)


def test_v05_a_number_of_5000_digits_costs_its_record_at_most(installed: Callable[..., Sync], acme: Acme) -> None:
    acme.bad = second((200, {}, b'{"data": [{"id": "p2", "email": "p2@example.test", "score": ' + b"9" * 5000 + b"}]}"))
    sync = installed()
    sync.drain()
    state, code = sync.run("state", "waiting_code")
    assert (state, code) in {("running", "vendor_bad_data"), ("done", None)}
    assert "p0@example.test" in sync.people()
    assert "p2@example.test" not in sync.people()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b'{"data": [' + b" " * (11 * 1024 * 1024) + b"]}"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b" " * (64 * 1024 * 1024))),
    ],
    ids=["plain", "gzip bomb"],
)  # fmt: skip
def test_v06_a_huge_page_is_not_taken_in(
    installed: Callable[..., Sync], acme: Acme, headers: dict[str, str], body: bytes
) -> None:
    acme.bad = second((200, headers, body))
    sync = installed()
    sync.drain()
    assert_stopped(sync, acme, "too_large")
    assert_recovers(sync, acme)
