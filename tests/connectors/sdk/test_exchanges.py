"""What is kept of a call for support, and what is said of it in errors: never a credential."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from connectors.sdk import EgressError, Exchange, HttpClient, UnavailableError, VendorDataError
from tests.connectors.sdk.servers import ALLOW, Vendor

Start = Callable[[Any], Any]
SECRET = "s3cret/with=odd chars+"


def shown(exchange: Exchange) -> str:
    """Return everything an exchange shows."""
    return repr(
        (
            exchange, exchange.url, exchange.request_headers, exchange.request_body, exchange.response_headers,
            exchange.response_body, exchange.error,
        )
    )  # fmt: skip


def call(origin: str, url: str, **more: Any) -> Exchange:
    """Make a call and return what was kept of it."""
    kept: list[Exchange] = []
    client = HttpClient(hosts={origin}, allow=ALLOW, on_exchange=kept.append)
    with suppress(VendorDataError):
        client.request(more.pop("method", "GET"), url, secrets=(SECRET,), **more)
    (exchange,) = kept
    return exchange


def test_a_call_is_kept_as_it_was(start: Start) -> None:
    vendor = start(Vendor(lambda _call: (201, {"ETag": '"7"', "X-Own": "no"}, {"id": 1})))
    exchange = call(vendor.origin, f"{vendor.origin}/x", method="POST", params={"a": "1"}, json={"name": "Ada"})
    assert (exchange.method, exchange.url, exchange.status) == ("POST", f"{vendor.origin}/x?a=1", 201)
    assert (exchange.request_body, exchange.response_body) == ('{"name":"Ada"}', '{"id":1}')
    assert exchange.response_headers["etag"] == '"7"'
    assert "x-own" not in exchange.response_headers
    assert exchange.error is None


def test_a_secret_is_cut_out_wherever_it_stands(start: Start) -> None:
    def answer(seen: Any) -> Any:
        link = f"<http://x/?page=2&key={seen.query['key']}>; rel=next"
        return 200, {"Link": link, "Set-Cookie": SECRET, "X-Token": SECRET}, {"you sent": SECRET, "token": "other"}

    vendor = start(Vendor(answer))
    exchange = call(
        vendor.origin, f"{vendor.origin}/x", method="POST", params={"key": SECRET}, json={"note": SECRET},
        headers={"authorization": f"Bearer {SECRET}", "x-odd": SECRET, "x-api-key": SECRET},
    )  # fmt: skip
    assert vendor.calls[0].query == {"key": SECRET}
    assert vendor.calls[0].headers["x-odd"] == SECRET
    for piece in ("s3cret", "odd chars", "odd+chars", "odd%20chars", "other"):
        assert piece not in shown(exchange)
    assert "[redacted]" in exchange.url


def test_a_secret_is_not_cut_in_two(start: Start) -> None:
    for before in range(4085, 4097):
        vendor = start(Vendor(lambda _call, before=before: (200, {}, b"x" * before + SECRET.encode() + b"x" * 100)))
        exchange = call(vendor.origin, f"{vendor.origin}/x")
        assert "s3" not in exchange.response_body
        assert len(exchange.response_body) <= 4096


def test_credentials_are_known_by_their_names_too(start: Start) -> None:
    vendor = start(Vendor(lambda _call: (200, {}, {"access_token": "at-1", "refresh_token": "rt-1", "id": "fine"})))
    body = {"code": "co-1", "code_verifier": "cv-1", "client_secret": "cs-1", "grant_type": "authorization_code"}
    exchange = call(vendor.origin, f"{vendor.origin}/x?api_key=ak-1", method="POST", data=body)
    for value in ("at-1", "rt-1", "co-1", "cv-1", "cs-1", "ak-1"):
        assert value not in shown(exchange)
    assert "authorization_code" in exchange.request_body
    assert "fine" in exchange.response_body


def test_an_error_holds_no_secret(start: Start) -> None:
    client = HttpClient(hosts={"http://127.0.0.2:9"}, allow=ALLOW, timeout=0.2)
    for url, kind in (
        (f"http://127.0.0.2:9/x?token={SECRET.replace(' ', '')}", UnavailableError),
        (f"http://elsewhere.example/x y?k={SECRET}", EgressError),
        (f"http://u:{SECRET.replace(' ', '')}@127.0.0.2:9/", EgressError),
    ):
        with pytest.raises(kind) as caught:
            client.request("GET", url, secrets=(SECRET, SECRET.replace(" ", "")))
        assert "s3cret" not in str(caught.value)


def test_trouble_is_kept_too(start: Start) -> None:
    vendor = start(Vendor(lambda _call: (200, {"Content-Encoding": "gzip"}, b"not packed")))
    exchange = call(vendor.origin, f"{vendor.origin}/x")
    assert exchange.status is None
    assert exchange.error is not None
    assert "damaged" in exchange.error


def test_a_refused_address_is_no_exchange() -> None:
    kept: list[Exchange] = []
    with pytest.raises(EgressError):
        HttpClient(hosts={"127.0.0.1"}, on_exchange=kept.append).request("GET", "https://127.0.0.1/")
    assert kept == []
