"""Verification of webhooks: every kind, both ways, and everything that is not quite right."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from connectors.sdk import Secret
from connectors.sdk.schema.webhooks import Handshake, Verify, Webhooks
from connectors.sdk.webhooks import Delivery, event_id, events, handshake, sign, verify

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BODY = b'{"id": "evt_1",  "name": "\xc3\xa6"}'
STAMP = str(int(NOW.timestamp()))
URL = "https://patchbay.example/hooks/abc?x=1"
KINDS: dict[str, tuple[dict[str, Any], dict[str, str], bytes]] = {
    "plain hex": ({"header": "X-Sig", "prefix": "sha256="}, {}, BODY),
    "base64": ({"header": "X-Sig", "encoding": "base64"}, {}, BODY),
    "method, url, body, ms": (
        {"header": "X-Sig", "encoding": "base64", "timestamp_header": "X-At", "timestamp_unit": "ms",
         "parts": [{"kind": "method"}, {"kind": "url"}, {"kind": "body"}, {"kind": "timestamp"}]},
        {"x-at": STAMP + "000"}, b"POST" + URL.encode() + BODY + STAMP.encode() + b"000",
    ),
    "stamp.body in a list": (
        {"header": "X-Sig", "element": "v1", "timestamp_element": "t",
         "parts": [{"kind": "timestamp"}, {"kind": "literal", "value": "."}, {"kind": "body"}]},
        {}, STAMP.encode() + b"." + BODY,
    ),
    "sha1": ({"header": "X-Sig", "algorithm": "sha1", "prefix": "sha1="}, {}, BODY),
}  # fmt: skip


def _signed(kind: str, *, secret: str = "s3cret-key", message: bytes | None = None) -> tuple[Verify, Delivery]:
    options, headers, signed = KINDS[kind]
    spec = Verify.model_validate(options)
    digest = hmac.new(secret.encode(), message or signed, getattr(hashlib, spec.algorithm)).digest()
    text = base64.b64encode(digest).decode() if spec.encoding == "base64" else digest.hex()
    value = f"t={STAMP},v1=00ff,v1={text}" if spec.element else spec.prefix + text
    return spec, Delivery("POST", URL, {**headers, "x-sig": value}, BODY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_verified_with_any_active_secret(kind: str) -> None:
    spec, delivery = _signed(kind)
    assert verify(spec, delivery, [Secret("other"), Secret("s3cret-key")], NOW) == "accepted"
    assert verify(spec, delivery, [Secret("other")], NOW) == "bad_signature"
    assert verify(spec, delivery, [], NOW) == "no_secret"
    bare = Delivery("POST", URL, {k: v for k, v in delivery.headers.items() if k != "x-sig"}, BODY)
    assert verify(spec, bare, [Secret("s3cret-key")], NOW) == "no_signature"


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_byte_is_refused(kind: str) -> None:
    spec, delivery = _signed(kind)
    for position in range(len(BODY)):
        body = BODY[:position] + bytes([BODY[position] ^ 1]) + BODY[position + 1 :]
        changed = Delivery("POST", URL, delivery.headers, body)
        assert verify(spec, changed, [Secret("s3cret-key")], NOW) == "bad_signature"


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
@pytest.mark.parametrize("kind", ["method, url, body, ms", "stamp.body in a list"])
def test_old_and_future_requests_are_stale(kind: str, seconds: int) -> None:
    spec, delivery = _signed(kind)
    assert verify(spec, delivery, [Secret("s3cret-key")], NOW + timedelta(seconds=seconds)) == "stale"


@pytest.mark.parametrize("stamp", ["", "soon", "1e9", "９", "-1"])
def test_a_timestamp_that_is_none_is_stale(stamp: str) -> None:
    spec, delivery = _signed("method, url, body, ms")
    headers = {**delivery.headers, "x-at": stamp}
    assert verify(spec, Delivery("POST", URL, headers, BODY), [Secret("s3cret-key")], NOW) == "stale"


def test_standard_webhooks_both_ways() -> None:
    secret = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
    theirs = Webhook(secret)
    at = datetime.now(UTC)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp()))}
    headers["webhook-signature"] = "v1,AAAA " + theirs.sign("msg_1", at, BODY.decode())
    spec = Verify(kind="standard_webhooks")
    assert verify(spec, Delivery("POST", URL, headers, BODY), [Secret(secret)], at) == "accepted"
    assert verify(spec, Delivery("POST", URL, headers, BODY + b" "), [Secret(secret)], at) == "bad_signature"
    ours = Verify(encoding="base64", key_encoding="base64", key_prefix="whsec_")
    message = f"msg_1.{headers['webhook-timestamp']}.".encode() + BODY
    headers["webhook-signature"] = "v1," + sign(ours, Secret(secret), message).decode()
    assert theirs.verify(BODY, headers)


def test_shared_tokens_and_basic() -> None:
    token = Verify(kind="shared_token", header="X-Token")
    given = Delivery("POST", URL, {"x-token": "abc"}, BODY)
    assert verify(token, given, [Secret("abc")], NOW) == "accepted"
    assert verify(token, given, [Secret("abd")], NOW) == "bad_signature"
    login = Delivery("POST", URL, {"authorization": "Basic " + base64.b64encode(b"u:p").decode()}, BODY)
    assert verify(Verify(kind="basic"), login, [Secret("u:p")], NOW) == "accepted"
    assert verify(Verify(kind="basic"), login, [Secret("u:q")], NOW) == "bad_signature"


def test_handshakes() -> None:
    body = orjson.dumps({"type": "url_verification", "challenge": "abc"})
    asked = Delivery("POST", URL + "&validationToken=tok", {"x-hook-secret": "sec"}, body)
    when = {"path": "type", "one_of": ["url_verification"]}
    spec = Handshake.model_validate({"kind": "json_challenge", "when": when})
    assert handshake(spec, asked) == "abc"
    assert handshake(spec, Delivery("POST", URL, {}, b'{"type": "event"}')) is None
    assert handshake(Handshake(kind="echo_header", name="X-Hook-Secret"), asked) == "sec"
    assert handshake(Handshake(kind="echo_query", name="validationToken"), asked) == "tok"
    assert handshake(None, asked) is None


def test_events_lead_to_records() -> None:
    hooks = Webhooks.model_validate({
        "verify": {}, "event_id": "0.eventId", "account": "portal", "subscribe": {"by_hand": "In the vendor's pages."},
        "rules": [
            {"where": [{"path": "type", "one_of": ["deleted"]}], "stream": "contacts", "id": "object", "action": "delete"},
            {"where": [{"path": "type", "none_of": ["deleted"]}], "stream": "contacts", "id": "object"},
        ],
    })  # fmt: skip
    items = [
        {"eventId": 1, "type": "deleted", "object": 7, "portal": 9},
        {"type": "changed", "object": 8},
        {"type": "changed"},
    ]
    delivery = Delivery("POST", URL, {}, orjson.dumps(items))
    assert [(e.action, e.record_id, e.account) for e in events(hooks, delivery)] == [
        ("delete", "7", "9"), ("upsert", "8", None), ("resync", None, None),
    ]  # fmt: skip
    assert event_id(hooks, delivery) == "1"
    assert len(event_id(hooks, Delivery("POST", URL, {}, b"[]"))) == 64
