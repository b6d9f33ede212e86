"""What Sandbox CRM tells its subscribers, and how."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from connectors import registry
from connectors.sdk import (
    Secret,
    webhooks,
)
from tests.connectors.sandbox.running import Running, call


@dataclass
class Listener:
    """A subscriber that answers with the next of `statuses`, 204 when there is none."""

    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def listener() -> Iterator[Listener]:
    kept = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 204)
            self.send_header("location", kept.url)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/in"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield kept
    server.shutdown()
    server.server_close()


def test_changes_are_told_in_order_and_signed(vendor: Running, listener: Listener) -> None:
    token = vendor.access(scope="crm.read")
    made = call(vendor, "POST", "/api/webhooks", token, json={"url": listener.url}).json()
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.store.save("contacts", None, {"city": "Rome"})
    vendor.store.delete("contacts", "contact-1")
    vendor.events.wait()
    told = [Webhook(made["secret"]).verify(body, headers) for headers, body in listener.received]
    assert [event["type"] for event in told] == ["updated", "created", "deleted"]
    assert told[0]["record"]["properties"]["city"] == "Oslo"
    assert told[2]["record"] is None
    assert {event["account"] for event in told} == {"acme"}
    headers, body = listener.received[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(made["secret"]).verify(body.replace(b"Oslo", b"Rome"), headers)


def test_our_side_takes_its_events_as_the_manifest_says(vendor: Running, listener: Listener) -> None:
    made = call(vendor, "POST", "/api/webhooks", vendor.access(), json={"url": listener.url}).json()
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.store.delete("deals", "deal-2")
    vendor.events.wait()
    hooks = registry.get("sandbox").manifest.webhooks
    assert hooks is not None
    found = []
    for headers, body in listener.received:
        delivery = webhooks.Delivery("POST", listener.url, headers, body)
        assert webhooks.verify(hooks.verify, delivery, [Secret(made["secret"])], datetime.now(UTC)) == "accepted"
        assert webhooks.event_id(hooks, delivery) == headers["webhook-id"]
        found += [
            (event.stream, event.action, event.record_id, event.account) for event in webhooks.events(hooks, delivery)
        ]
    assert found == [("contacts", "upsert", "contact-1", "acme"), ("deals", "delete", "deal-2", "acme")]


def test_an_event_is_sent_again_with_the_same_id_until_it_is_taken(vendor: Running, listener: Listener) -> None:
    listener.statuses = [500, 302, 200]
    call(vendor, "POST", "/api/webhooks", vendor.access(), json={"url": listener.url})
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.events.wait()
    ids = [headers["webhook-id"] for headers, _ in listener.received]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert vendor.store.get("attempt", ids[0]) == ["500", "302", "200"]
    listener.statuses = [500, 500, 500, 500]
    vendor.store.save("contacts", "contact-1", {"city": "Rome"})
    vendor.events.wait()
    assert len(listener.received) == 6, "given up after the last pause"


def test_a_subscription_ends_by_call_and_by_410(vendor: Running, listener: Listener) -> None:
    token, stranger = vendor.access(), vendor.access(account="globex")
    first = call(vendor, "POST", "/api/webhooks", token, json={"url": listener.url}).json()
    assert call(vendor, "GET", "/api/webhooks", stranger).json()["results"] == []
    assert call(vendor, "DELETE", f"/api/webhooks/{first['id']}", stranger).status_code == 404
    assert "secret" not in call(vendor, "GET", "/api/webhooks", token).json()["results"][0]
    assert call(vendor, "DELETE", f"/api/webhooks/{first['id']}", token).status_code == 204
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.events.wait()
    assert listener.received == []
    call(vendor, "POST", "/api/webhooks", token, json={"url": listener.url})
    listener.statuses = [410]
    vendor.store.save("contacts", "contact-1", {"city": "Rome"})
    vendor.events.wait()
    assert len(listener.received) == 1
    assert call(vendor, "GET", "/api/webhooks", token).json()["results"] == []


def test_a_subscription_ends_unless_it_is_renewed(vendor: Running, listener: Listener) -> None:
    token, stranger = vendor.access(), vendor.access(account="globex")
    made = call(vendor, "POST", "/api/webhooks", token, json={"url": listener.url}).json()
    path = f"/api/webhooks/{made['id']}"
    renewed = call(vendor, "PATCH", path, token).json()
    assert renewed["expires_at"] > made["expires_at"]
    assert call(vendor, "PATCH", path, stranger).status_code == 404
    kept = vendor.store.get("subscription", made["id"])
    vendor.store.put("subscription", made["id"], {**kept, "expires_at": "2026-01-01T00:00:00.000Z"})
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.events.wait()
    assert listener.received == []
    assert [call(vendor, method, path, token).status_code for method in ("GET", "PATCH", "DELETE")] == [404] * 3


def test_a_secret_of_ones_own_is_signed_with(vendor: Running, listener: Listener) -> None:
    token, secret = vendor.access(), "whsec_" + "YWJj" * 8
    for bad in ("short", "whsec_?"):
        sent = {"url": listener.url, "secret": bad}
        assert call(vendor, "POST", "/api/webhooks", token, json=sent).status_code == 422
    call(vendor, "POST", "/api/webhooks", token, json={"url": listener.url, "secret": secret}).raise_for_status()
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.events.wait()
    ((headers, body),) = listener.received
    assert Webhook(secret).verify(body, headers)["record_id"] == "contact-1"


def test_an_address_that_is_none_is_refused(vendor: Running) -> None:
    token = vendor.access()
    for url in ("", "ftp://example.test/", "javascript:alert(1)", None, "https://"):
        assert call(vendor, "POST", "/api/webhooks", token, json={"url": url}).status_code == 422, url
