"""Events from Stripe: sent and signed by a live localstripe, and proved both ways with Stripe's own library."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
import requests

from connectors.registry import get
from connectors.sdk import Secret, samples, webhooks
from connectors.sdk.webhooks import Delivery
from tests.connectors.sdk.servers import Answer, Call, Vendor
from tests.connectors.stripe.local import Front, LocalConnector, session
from tests.processes import wait_for

HOOKS = get("stripe").manifest.webhooks
assert HOOKS is not None
SECRET = "whsec_test_of_nobody"
LIBRARY = """
import json, sys, time
from stripe import SignatureVerificationError, WebhookSignature
body, header, secret = json.loads(sys.stdin.read())
stamp = str(int(time.time()))
made = f"t={stamp},v1=" + WebhookSignature._compute_signature(f"{stamp}.{body}", secret)
try:
    taken = WebhookSignature.verify_header(body, header, secret, 300)
except SignatureVerificationError as error:
    taken = str(error)
print(json.dumps([made, taken]))
"""


@pytest.fixture
def library(packages: Path) -> Callable[[str, str], list[Any]]:
    """Stripe's library: body, header -> a header of its own, and whether it takes the given one."""

    def run(body: str, header: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-c", LIBRARY], input=json.dumps([body, header, SECRET]), capture_output=True, text=True,
            check=True, env={**os.environ, "PYTHONPATH": str(packages)},
        )  # fmt: skip
        return list(json.loads(done.stdout))

    return run


def verdict(delivery: Delivery, at: datetime | None = None) -> str:
    """Return what a delivery is worth."""
    return webhooks.verify(HOOKS.verify, delivery, [Secret("whsec_older"), Secret(SECRET)], at or datetime.now(UTC))


@pytest.mark.parametrize("body", ['{"id": "evt_1"}', '{"name": "Söhne 🚪"}'])
def test_what_stripes_library_signs_we_take_and_the_other_way_round(
    library: Callable[[str, str], list[Any]], body: str
) -> None:
    ours = samples.signed(HOOKS.verify, body.encode(), Secret(SECRET), at=datetime.now(UTC))
    theirs, taken = library(body, ours.headers["stripe-signature"])
    assert taken is True
    signed = replace(ours, headers={"stripe-signature": theirs})
    assert verdict(signed) == "accepted"
    assert verdict(replace(signed, body=signed.body + b" ")) == "bad_signature"
    assert library(body + " ", theirs)[1] is not True
    # Other schemes and more signatures may stand beside it, as while a secret is being changed.
    rolled = theirs.replace("v1=", "v1=00ff,v0=abc,v1=")
    assert verdict(replace(signed, headers={"stripe-signature": rolled})) == "accepted"
    assert library(body, rolled)[1] is True
    assert verdict(replace(signed, headers={"stripe-signature": theirs.replace("v1=", "v0=")})) == "no_signature"


@pytest.mark.parametrize(("age", "worth"), [(0, "accepted"), (299, "accepted"), (301, "stale"), (-301, "stale")])
def test_an_event_is_taken_for_five_minutes(age: int, worth: str) -> None:
    signed = samples.signed(HOOKS.verify, b"{}", Secret(SECRET), at=samples.AT)
    assert verdict(signed, samples.AT + timedelta(seconds=age)) == worth


def test_both_find_an_old_one_too_old(library: Callable[[str, str], list[Any]]) -> None:
    old = samples.signed(HOOKS.verify, b"{}", Secret(SECRET), at=datetime.now(UTC) - timedelta(seconds=600))
    assert verdict(old) == "stale"
    assert "tolerance" in library("{}", old.headers["stripe-signature"])[1]


def test_events_that_localstripe_sends(stripe: Front, localstripe: str, connector: LocalConnector) -> None:
    receiver = Vendor(lambda _call: (200, {}, {}))
    try:
        wanted = ["customer.created", "customer.updated", "customer.deleted"]
        hook = {"url": f"{receiver.origin}/hook", "secret": SECRET, "events": wanted}
        requests.post(f"{localstripe}/_config/webhooks/ours", json=hook, timeout=5).raise_for_status()
        auth, at = ("sk_test_localstripe", ""), f"{localstripe}/v1/customers"
        made = requests.post(at, auth=auth, data={"name": "Ada"}, timeout=5).json()
        requests.post(f"{at}/{made['id']}", auth=auth, data={"name": "Eve"}, timeout=5).raise_for_status()
        requests.delete(f"{at}/{made['id']}", auth=auth, timeout=5).raise_for_status()
        wait_for(lambda: {kind for kind, _ in _about(receiver, made["id"])} == set(wanted), 30, about="the events")
    finally:
        receiver.stop()
    said = {}
    for _, call in _about(receiver, made["id"]):
        delivery = Delivery("POST", f"{receiver.origin}/hook", call.headers, call.body)
        assert verdict(delivery) == "accepted"
        assert verdict(replace(delivery, body=call.body.replace(b"Ada", b"Bob") + b" ")) == "bad_signature"
        (event,) = webhooks.events(HOOKS, delivery)
        assert (event.stream, event.record_id, event.data) == ("customers", made["id"], None)
        said[webhooks.event_id(HOOKS, delivery)] = event.action
    assert all(name.startswith("evt_") for name in said)
    assert sorted(said.values()) == ["delete", "upsert", "upsert"]
    # What an event names is read again, as it is by then.
    assert connector.fetch(session(connector), "customers", made["id"]) is None


@pytest.mark.parametrize(
    ("kind", "object_", "events"),
    [
        ("invoice.paid", "invoice", [("invoices", "upsert")]),
        ("invoice.deleted", "invoice", [("invoices", "delete")]),
        ("invoice.upcoming", "invoice", []),
        ("customer.subscription.deleted", "subscription", [("subscriptions", "upsert")]),
        ("customer.source.created", "card", []),
        ("charge.succeeded", "charge", []),
    ],
)
def test_each_event_says_what_to_read(kind: str, object_: str, events: list[tuple[str, str]]) -> None:
    body = {"id": "evt_1", "type": kind, "account": "acct_1", "data": {"object": {"object": object_, "id": "x_1"}}}
    delivery = Delivery("POST", "https://p.test/hook", {}, orjson.dumps(body))
    found = list(webhooks.events(HOOKS, delivery))
    assert [(event.stream, event.action) for event in found] == events
    assert all((event.record_id, event.account) == ("x_1", "acct_1") for event in found)


def test_the_subscription_asks_for_what_the_rules_read(connector: LocalConnector) -> None:
    answers: list[Call] = []

    def answer(call: Call) -> Answer:
        answers.append(call)
        return 200, {}, {"id": "we_1", "secret": SECRET, "object": "webhook_endpoint"}

    vendor = Vendor(answer)
    try:
        local = LocalConnector(vendor.origin)
        create, remove = HOOKS.subscribe.create, HOOKS.subscribe.remove
        assert create is not None
        assert remove is not None
        made = local.call(session(local), create, {"hook": {"url": "https://p.test/hooks/1", "secret": ""}})
        assert made.json()[HOOKS.subscribe.secret or ""] == SECRET
        local.call(session(local), remove, {"hook": {"id": "we_1"}})
        assert HOOKS.subscribe.find
        local.call(session(local), HOOKS.subscribe.find.request, {"hook": {"url": "https://p.test/hooks/1"}})
    finally:
        vendor.stop()
    sent = dict(parse_qsl(answers[0].body.decode()))
    assert (answers[0].path, sent["url"]) == ("/v1/webhook_endpoints", "https://p.test/hooks/1")
    assert (answers[1].method, answers[1].path) == ("DELETE", "/v1/webhook_endpoints/we_1")
    assert (answers[2].method, answers[2].path) == ("GET", "/v1/webhook_endpoints")
    asked = {value for name, value in sent.items() if name.startswith("enabled_events[")}
    read = {
        kind
        for stream in get("stripe").manifest.streams
        if stream.incremental and stream.incremental.request
        for kind in stream.incremental.request.query["types[]"]
    }
    assert asked == read


def _about(receiver: Vendor, customer: str) -> list[tuple[str, Call]]:
    # localstripe sends late; what other tests have caused may still come in.
    found = [(orjson.loads(call.body), call) for call in list(receiver.calls)]
    return [(event["type"], call) for event, call in found if event["data"]["object"]["id"] == customer]
