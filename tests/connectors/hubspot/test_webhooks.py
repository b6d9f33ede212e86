"""Events: HubSpot's signature proved with HubSpot's own client in both directions, and what the events say."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors import registry
from connectors.sdk import Secret, webhooks
from connectors.sdk.samples import signed
from connectors.sdk.webhooks import Delivery
from tests.connectors.hubspot.cases import EVENTS, event
from tests.connectors.hubspot.documents import document, hold_against, json_call

HOOKS = registry.get("hubspot").manifest.webhooks
assert HOOKS is not None
SECRET, OTHER = Secret("test-client-secret-of-the-app"), Secret("another-client-secret")
URL = "https://patchbay.example/hooks/hubspot"
BODY = orjson.dumps([event("contact.creation", objectId=101), event("deal.deletion", objectId=106)])

_SIGN = """
import sys
from hubspot.utils.signature import Signature
print(Signature.get_signature(sys.argv[1], sys.argv[2], "v3", sys.argv[3], "POST", sys.argv[4]))
"""
_VERIFY = """
import sys
from hubspot.utils.signature import Signature
print(Signature.is_valid(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], "POST", "v3", sys.argv[5]))
"""
BODIES = [BODY, orjson.dumps([event("contact.propertyChange", propertyValue="Grün & Söhne €")]), b"[]"]


def now_ms() -> int:
    """Return the time that their client compares with: it reads the clock itself."""
    return int(time.time() * 1000)


@pytest.mark.parametrize("body", BODIES)
def test_what_their_client_signs_is_accepted(official: Callable[..., str], body: bytes) -> None:
    stamp = now_ms()
    theirs = official(_SIGN, SECRET.reveal(), body.decode(), URL, stamp)
    headers = {"x-hubspot-signature-v3": theirs, "x-hubspot-request-timestamp": str(stamp)}
    delivery, at = Delivery("POST", URL, headers, body), datetime.fromtimestamp(stamp / 1000, UTC)
    assert webhooks.verify(HOOKS.verify, delivery, [SECRET], at) == "accepted"
    assert webhooks.verify(HOOKS.verify, delivery, [OTHER, SECRET], at) == "accepted"
    assert webhooks.verify(HOOKS.verify, delivery, [OTHER], at) == "bad_signature"
    assert webhooks.verify(HOOKS.verify, replace(delivery, body=body + b" "), [SECRET], at) == "bad_signature"
    assert webhooks.verify(HOOKS.verify, replace(delivery, url=URL + "?x=1"), [SECRET], at) == "bad_signature"
    assert webhooks.verify(HOOKS.verify, replace(delivery, method="PUT"), [SECRET], at) == "bad_signature"


@pytest.mark.parametrize("body", BODIES)
def test_what_we_sign_their_client_accepts(official: Callable[..., str], body: bytes) -> None:
    ours = signed(HOOKS.verify, body, SECRET, at=datetime.fromtimestamp(now_ms() // 1000, UTC), url=URL)
    mark, stamp = ours.headers["x-hubspot-signature-v3"], ours.headers["x-hubspot-request-timestamp"]
    assert official(_VERIFY, mark, SECRET.reveal(), body.decode(), URL, stamp) == "True"
    assert official(_VERIFY, mark, OTHER.reveal(), body.decode(), URL, stamp) == "False"
    assert official(_VERIFY, mark, SECRET.reveal(), body.decode() + " ", URL, stamp) == "False"


@pytest.mark.parametrize(("seconds", "verdict"), [(0, "accepted"), (299, "accepted"), (-299, "accepted"), (301, "stale"), (-301, "stale"), (86_400, "stale")])  # fmt: skip
def test_an_event_is_good_for_five_minutes(seconds: int, verdict: str) -> None:
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    delivery = signed(HOOKS.verify, BODY, SECRET, at=at, url=URL)
    assert webhooks.verify(HOOKS.verify, delivery, [SECRET], at + timedelta(seconds=seconds)) == verdict


def test_older_signatures_and_none_are_refused() -> None:
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    first = hashlib.sha256(SECRET.reveal().encode() + BODY).hexdigest()
    stamp = str(int(at.timestamp() * 1000))
    mark = base64.b64encode(
        hmac.new(SECRET.reveal().encode(), b"POST" + URL.encode() + BODY, "sha256").digest()
    ).decode()
    for headers in (
        {}, {"x-hubspot-signature": first, "x-hubspot-signature-version": "v1"}, {"x-hubspot-signature-v3": ""},
        {"x-hubspot-signature-v3": mark}, {"x-hubspot-signature-v3": mark, "x-hubspot-request-timestamp": stamp},
        {"x-hubspot-signature-v3": mark, "x-hubspot-request-timestamp": "soon"},
    ):  # fmt: skip
        assert webhooks.verify(HOOKS.verify, Delivery("POST", URL, headers, BODY), [SECRET], at) != "accepted"
    assert webhooks.verify(HOOKS.verify, signed(HOOKS.verify, BODY, SECRET, at=at, url=URL), [], at) == "no_secret"


@pytest.mark.parametrize("name", EVENTS)
def test_events_say_what_happened_to_which_record(name: str) -> None:
    body = orjson.dumps(EVENTS[name]["webhook"]["body"])
    found = list(webhooks.events(HOOKS, Delivery("POST", URL, {}, body)))
    assert [{"stream": e.stream, "action": e.action, "id": e.record_id} for e in found] == EVENTS[name]["events"]
    assert {e.account for e in found} == {"62515"}


def test_a_full_batch_of_a_hundred_is_read_whole() -> None:
    body = orjson.dumps([event("contact.propertyChange", objectId=n, eventId=1) for n in range(100)])
    found = list(webhooks.events(HOOKS, Delivery("POST", URL, {}, body)))
    assert [e.record_id for e in found] == [str(n) for n in range(100)]


def test_a_delivery_is_known_by_its_body_because_event_ids_repeat() -> None:
    first = Delivery("POST", URL, {}, orjson.dumps([event("contact.creation", objectId=1)]))
    second = Delivery("POST", URL, {}, orjson.dumps([event("contact.creation", objectId=2)]))
    assert webhooks.event_id(HOOKS, first) == webhooks.event_id(HOOKS, replace(first, headers={"a": "b"}))
    assert webhooks.event_id(HOOKS, first) != webhooks.event_id(HOOKS, second)


def test_every_event_we_read_can_be_subscribed_to() -> None:
    openapi = document("hubspot-webhooks.json")
    kinds = {kind for rule in HOOKS.rules for part in rule.where for kind in part.one_of or [] if "." in str(kind)}
    assert len(kinds) == 21
    for kind in sorted(kinds):
        body = {"eventType": kind, "active": True}
        body |= {"propertyName": "email"} if kind.endswith("propertyChange") else {}
        body |= {"objectTypeId": "0-1"} if kind.startswith("object.") else {}
        created = {"id": "1", "createdAt": "2026-11-24T09:30:00Z", **body}
        hold_against(openapi, json_call("/webhooks/v3/54321/subscriptions", body), (201, {}, created))
