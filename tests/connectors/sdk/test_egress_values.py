"""What values can do to a call that they are put into: case S06 of the reliability page."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.sdk import Checkpoint, ConfigError, HttpClient
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import ALLOW, Answer, Call, Vendor

Start = Callable[[Any], Any]


def fine(_call: Call) -> Answer:
    return 200, {}, {"id": "acme", "data": []}


@pytest.mark.parametrize(
    ("record_id", "segment"),
    [
        ("../admin", "..%2Fadmin"), ("%2e%2e", "%252e%252e"), ("//evil.example", "%2F%2Fevil.example"), ("a@evil", "a%40evil"),
        ("a?admin=1", "a%3Fadmin%3D1"), ("a#b", "a%23b"), ("a;b", "a%3Bb"), ("a\\b", "a%5Cb"), ("a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"),
        ("\x00", "%00"), ("ä€", "%C3%A4%E2%82%AC"), ("...", "..."), ("{config.server}", "%7Bconfig.server%7D"),
    ],
)  # fmt: skip
def test_s06_a_value_stays_one_segment_of_the_path(start: Start, record_id: str, segment: str) -> None:
    vendor = start(Vendor(fine))
    connector = make_connector()
    connector.fetch(make_session(connector, vendor.origin), "contacts", record_id)
    (call,) = vendor.calls
    assert call.path == f"/contacts/{segment}"
    assert (call.query, call.headers["host"]) == ({}, vendor.origin.removeprefix("http://"))


@pytest.mark.parametrize("record_id", ["", ".", "..", "\ud800"])
def test_s06_a_value_that_cannot_be_a_segment_is_refused(start: Start, record_id: str) -> None:
    vendor = start(Vendor(fine))
    connector = make_connector()
    with pytest.raises(ConfigError):
        connector.fetch(make_session(connector, vendor.origin), "contacts", record_id)
    assert vendor.calls == []


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\r", "a\n", "\x00", "a\x7f", "ä"])
def test_s06_a_header_takes_no_second_line(start: Start, value: str) -> None:
    vendor = start(Vendor(fine))
    connector = make_connector(stream={"request": {"path": "/x", "headers": {"X-Place": "{config.place}"}}})
    session = make_session(connector, vendor.origin, place=value)
    with pytest.raises(ConfigError):
        connector.read(session, "contacts", Checkpoint.start("full", None))
    with pytest.raises(ConfigError):
        session.http.request("GET", f"{vendor.origin}/x", headers={f"x{value}": "1"})
    assert vendor.calls == []


def test_s06_a_value_in_a_query_stays_one_parameter(start: Start) -> None:
    vendor = start(Vendor(fine))
    client = HttpClient(hosts={vendor.origin}, allow=ALLOW)
    client.request("GET", f"{vendor.origin}/x?a=1", params={"b": "2&c=3#d\r\n", "none": None})
    assert vendor.calls[0].query == {"a": "1", "b": "2&c=3#d\r\n"}
