"""What an answer means to the engine: the manifest's table, then the status, and how long to wait."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sdk import (
    AuthError,
    Checkpoint,
    ConfigError,
    ConnectorError,
    CursorExpiredError,
    RateLimitedError,
    RetryableError,
    ScopeError,
    UnavailableError,
    VendorDataError,
)
from connectors.sdk.answers import retry_after
from tests.connectors.sdk.manifests import CANARY, make_connector, make_session
from tests.connectors.sdk.servers import Sinkhole, Vendor

Start = Callable[[Any], Any]
AT = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def meaning(vendor: Vendor, errors: list[dict[str, Any]] | None = None) -> ConnectorError:
    """Return what a connector makes of the vendor's answer."""
    connector = make_connector(errors=errors or [])
    with pytest.raises(ConnectorError) as caught:
        connector.check(make_session(connector, vendor.origin))
    assert len(vendor.calls) == 1
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (401, AuthError, "reconnect"), (403, ScopeError, "permission_missing"), (404, ConfigError, "settings_wrong"),
        (408, UnavailableError, "vendor_down"), (425, UnavailableError, "vendor_down"), (410, CursorExpiredError, "cursor_expired"),
        (429, RateLimitedError, "rate_limited"), (500, UnavailableError, "vendor_down"), (502, UnavailableError, "vendor_down"),
        (503, UnavailableError, "vendor_down"), (504, UnavailableError, "vendor_down"), (599, UnavailableError, "vendor_down"),
        (301, ConfigError, "settings_wrong"), (302, ConfigError, "settings_wrong"), (303, ConfigError, "settings_wrong"),
        (307, ConfigError, "settings_wrong"), (308, ConfigError, "settings_wrong"), (400, ConnectorError, "vendor_refused"),
        (418, ConnectorError, "vendor_refused"), (300, ConnectorError, "vendor_refused"), (304, ConnectorError, "vendor_refused"),
    ],
)  # fmt: skip
def test_a_status_means_the_same_everywhere(start: Start, status: int, kind: type[ConnectorError], code: str) -> None:
    vendor = start(Vendor(lambda _call: (status, {}, b"" if status in (304, 204) else {"id": "acme"})))
    error = meaning(vendor)
    assert type(error) is kind
    assert (error.code, isinstance(error, RetryableError)) == (code, issubclass(kind, RetryableError))
    assert str(status) in error.message
    assert error.user_message
    assert error.fix


def test_a_redirect_is_not_followed_by_a_connector_and_says_so(start: Start) -> None:
    inside = start(Sinkhole())
    vendor = start(Vendor(lambda _call: (302, {"Location": f"http://127.0.0.1:{inside.port}/"}, b"")))
    assert "Acme sends us to another address" in meaning(vendor).user_message
    assert inside.connections() == 0


@pytest.mark.parametrize(
    ("means", "kind"),
    [
        ("retry", UnavailableError), ("rate_limited", RateLimitedError), ("reconnect", AuthError), ("forbidden", ScopeError),
        ("settings", ConfigError), ("cursor_expired", CursorExpiredError), ("fail", ConnectorError),
    ],
)  # fmt: skip
def test_the_table_decides_before_the_status(start: Start, means: str, kind: type[ConnectorError]) -> None:
    vendor = start(Vendor(lambda _call: (400, {"Retry-After": "7"}, {"id": "acme"})))
    rule = {"status": [400], "means": means, "sentence": "Acme says no.", "fix": "Ask Acme."}
    error = meaning(vendor, [{"status": [401], "means": "fail"}, rule, {"status": [400], "means": "retry"}])
    assert type(error) is kind
    assert (error.user_message, error.fix, error.retry_after) == ("Acme says no.", "Ask Acme.", 7.0)


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        ({"path": "error.code"}, True), ({"path": "error.code", "equals": "GONE"}, True), ({"path": "error.code", "equals": "gone"}, False),
        ({"path": "error.other"}, False), ({"path": "list.0.n", "equals": 1}, True), ({"text": "GONE"}, True), ({"text": "Gone"}, False),
        ({"status": [200, 400], "path": "error.code", "text": "GONE"}, True), ({"status": [400], "path": "error.code"}, False),
        ({"status": [200], "text": "nowhere"}, False), ({"path": "error.none"}, False), ({}, False),
    ],
)  # fmt: skip
def test_every_predicate_of_a_rule_must_hold_even_for_a_good_status(
    start: Start, rule: dict[str, Any], applies: bool
) -> None:
    body = {"id": "acme", "error": {"code": "GONE", "none": None}, "list": [{"n": 1}]}
    vendor = start(Vendor(lambda _call: (200, {}, body)))
    connector = make_connector(errors=[{**rule, "means": "reconnect"}])
    session = make_session(connector, vendor.origin)
    if applies:
        with pytest.raises(AuthError):
            connector.check(session)
    else:
        assert connector.check(session).id == "acme"


def test_a_rule_on_a_path_is_not_met_by_a_body_that_is_no_json(start: Start) -> None:
    vendor = start(Vendor(lambda _call: (503, {"Content-Type": "text/html"}, b"<html>error")))
    assert type(meaning(vendor, [{"path": "error", "means": "reconnect"}])) is UnavailableError


def test_what_is_ignored_is_taken_as_good(start: Start) -> None:
    vendor = start(Vendor(lambda _call: (409, {}, {"id": "acme"})))
    connector = make_connector(errors=[{"status": [409], "means": "ignore"}])
    assert connector.check(make_session(connector, vendor.origin)).id == "acme"


def test_a_login_page_with_200_is_bad_data(start: Start) -> None:
    vendor = start(Vendor(lambda _call: (200, {"Content-Type": "text/html"}, b"<html><form>Log in</form>")))
    error = meaning(vendor)
    assert type(error) is VendorDataError
    assert "text/html" in error.message


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data": {}}', b'{"data": null}', b'{"data": "x"}', b'"data"', b"7"])
def test_a_page_without_a_list_is_bad_data(start: Start, body: bytes) -> None:
    vendor = start(Vendor(lambda _call: (200, {}, body)))
    connector = make_connector()
    with pytest.raises(VendorDataError):
        connector.read(make_session(connector, vendor.origin), "contacts", Checkpoint.start("full", None))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0), (" 7 ", 7.0), ("0", 1.0), ("-5", 1.0), ("1000000000", 900.0), ("1e400", 900.0), ("nan", None),
        ("Tue, 24 Nov 2026 10:02:00 GMT", 120.0), ("Tue, 24 Nov 2026 11:02:00 +0100", 120.0), ("Tue, 24 Nov 2026 09:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900.0), ("", None), ("soon", None), ("5 minutes", None), ("\x00", None),
        ("Tue, 99 Nov 2026 10:02:00 GMT", None), ("2026-11-24T10:02:00Z", None),
    ],
)  # fmt: skip
def test_v01_retry_after_is_read_with_sense(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, AT) == seconds
    assert retry_after({}, AT) is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 900.0), ("Fri, 01 Jan 1999 00:00:00 GMT", 1.0), ("later", None)],
)
def test_v01_the_pause_reaches_the_engine(start: Start, status: int, text: str, seconds: float | None) -> None:
    vendor = start(Vendor(lambda _call: (status, {"Retry-After": text}, b"slow down")))
    assert meaning(vendor).retry_after == seconds


def limited(remaining: str, reset: str, kind: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return limits that read two headers, and the headers."""
    limits = {"remaining_header": "X-Left", "reset_header": "X-Reset", "reset_kind": kind}
    return limits, {"X-Left": remaining, "X-Reset": reset}


@pytest.mark.parametrize(("reset", "kind"), [("600", "seconds"), ("99999999999", "epoch"), ("inf", "seconds")])
def test_v01_no_call_is_made_when_none_is_left(start: Start, reset: str, kind: str) -> None:
    limits, headers = limited("0", reset, kind)
    vendor = start(Vendor(lambda _call: (200, headers, {"id": "acme"})))
    connector = make_connector(limits=limits)
    session = make_session(connector, vendor.origin)
    connector.check(session)
    with pytest.raises(RateLimitedError) as caught:
        connector.check(session)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 900
    assert len(vendor.calls) == 1


@pytest.mark.parametrize("status", [403, 429, 503])
def test_v01_a_refusal_says_by_its_reset_how_long(start: Start, status: int) -> None:
    limits, headers = limited("0", "600", "seconds")
    vendor = start(Vendor(lambda _call: (status, headers, {"message": "none left"})))
    connector = make_connector(limits=limits, errors=[{"status": [403], "text": "none left", "means": "rate_limited"}])
    with pytest.raises(RetryableError) as caught:
        connector.check(make_session(connector, vendor.origin))
    assert caught.value.retry_after == 600


@pytest.mark.parametrize(("left", "reset"), [("1", "600"), ("0", "soon"), ("none", "600"), ("0", "-600")])
def test_headers_that_close_nothing(start: Start, left: str, reset: str) -> None:
    limits, headers = limited(left, reset, "seconds")
    vendor = start(Vendor(lambda _call: (200, headers, {"id": "acme"})))
    connector = make_connector(limits=limits)
    session = make_session(connector, vendor.origin)
    assert [connector.check(session).id for _ in range(2)] == ["acme", "acme"]


def test_no_error_names_the_credential(start: Start) -> None:
    for status in (200, 401, 403, 404, 429, 500):
        vendor = start(Vendor(lambda call, status=status: (status, {}, call.headers["x-api-key"].encode())))
        error = meaning(vendor)
        assert vendor.calls[0].headers["x-api-key"] == CANARY
        assert CANARY not in repr((error, error.message, error.user_message, error.fix, error.__cause__))
