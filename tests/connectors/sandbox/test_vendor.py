"""Sandbox CRM's own promises: what it stores, refuses, and tells its subscribers."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from connectors import registry
from connectors.sandbox.vendor.store import Store
from connectors.sdk import (
    AuthError,
    ChangedError,
    Checkpoint,
    Outgoing,
    RecordError,
    Refused,
    ScopeError,
    Secret,
    Written,
    webhooks,
)
from tests.connectors.sandbox.running import Running
from tests.connectors.sandbox.test_contract import subscribe


@pytest.fixture
def vendor() -> Iterator[Running]:
    found = Running()
    found.events.pauses = (0.0, 0.0, 0.0)
    yield found
    found.stop()


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


def call(vendor: Running, method: str, path: str, token: str, **more: Any) -> requests.Response:
    headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
    return requests.request(method, vendor.origin + path, headers=headers, timeout=5, **more)


def test_a_key_makes_one_record_however_often_it_is_sent(vendor: Running) -> None:
    connector, session = vendor.session()
    writer = connector.writer(session, "contacts")
    record = Outgoing({"properties.email": "a@example.test"}, key="key-1")
    found: list[str | None] = []

    token = session.credentials["access_token"].reveal()

    def send() -> None:
        answer = call(
            vendor, "POST", "/api/contacts", token, json={"properties": {"email": "a@example.test"}},
            headers={"idempotency-key": "key-1"},
        )  # fmt: skip
        found.append(answer.json()["id"])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.append(writer.create(record).id)
    assert len(found) == 9
    assert len(set(found)) == 1
    assert vendor.store.count("contacts", None) == 1001


def test_a_key_for_other_values_is_refused(vendor: Running) -> None:
    token = vendor.access()
    headers = {"idempotency-key": "key-1"}
    first = call(vendor, "POST", "/api/deals", token, json={"properties": {"name": "One"}}, headers=headers)
    other = call(vendor, "POST", "/api/deals", token, json={"properties": {"name": "Two"}}, headers=headers)
    assert (first.status_code, other.status_code) == (201, 409)
    same_key_elsewhere = call(
        vendor, "POST", "/api/companies", token, json={"properties": {"name": "One"}}, headers=headers
    )
    assert same_key_elsewhere.status_code == 201


def test_an_old_version_changes_and_deletes_nothing(vendor: Running) -> None:
    connector, session = vendor.session()
    writer = connector.writer(session, "contacts")
    first = connector.fetch(session, "contacts", "contact-1")
    assert first is not None
    second = writer.update(Outgoing({"properties.city": "Oslo"}, id="contact-1", version=first.version))
    assert second.version not in (None, first.version)
    with pytest.raises(ChangedError):
        writer.update(Outgoing({"properties.city": "Bergen"}, id="contact-1", version=first.version))
    with pytest.raises(ChangedError):
        writer.delete(Outgoing({}, id="contact-1", version=first.version))
    kept = connector.fetch(session, "contacts", "contact-1")
    assert kept is not None
    assert kept.data["properties"]["city"] == "Oslo"
    assert kept.data["properties"]["lastname"] == first.data["properties"]["lastname"]
    writer.delete(Outgoing({}, id="contact-1", version=second.version))
    assert connector.fetch(session, "contacts", "contact-1") is None
    writer.delete(Outgoing({}, id="contact-1", version=second.version))


@pytest.mark.parametrize(
    ("stream", "fields", "word"),
    [
        ("contacts", {"properties.nothing": "x"}, "nothing"), ("companies", {"properties.city": "Oslo"}, "name"),
        ("contacts", {"properties.lifecyclestage": "baron"}, "lifecyclestage"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(vendor: Running, stream: str, fields: dict[str, str], word: str) -> None:
    connector, session = vendor.session()
    before = vendor.store.count(stream, None)
    with pytest.raises(RecordError):
        connector.writer(session, stream).create(Outgoing(fields, key="key"))
    body = {"properties": {name.removeprefix("properties."): value for name, value in fields.items()}}
    answer = call(vendor, "POST", f"/api/{stream}", session.credentials["access_token"].reveal(), json=body)
    assert answer.status_code == 422
    assert word in answer.json()["error"]["message"]
    assert vendor.store.count(stream, None) == before


def test_a_batch_answers_for_each_and_can_be_sent_again(vendor: Running) -> None:
    connector, session = vendor.session()
    writer = connector.writer(session, "companies")
    records = [
        Outgoing({"properties.name": "One"}, reference="r1"), Outgoing({"properties.city": "Oslo"}, reference="r2"),
        Outgoing({"properties.name": "Three"}, reference="r3"),
    ]  # fmt: skip
    first, again = writer.batch("create", records), writer.batch("create", records)
    assert [type(answer) for answer in first] == [Written, Refused, Written]
    assert [getattr(answer, "id", None) for answer in first] == [getattr(answer, "id", None) for answer in again]
    assert vendor.store.count("companies", None) == 202
    made = first[0]
    assert isinstance(made, Written)
    changed = writer.batch(
        "update", [Outgoing({"properties.city": "Rome"}, id="none"), Outgoing({"properties.city": "Rome"}, id=made.id)]
    )
    assert [type(answer) for answer in changed] == [Refused, Written]
    found = vendor.store.find("companies", str(made.id))
    assert found is not None
    assert found["properties"] == {"name": "One", "city": "Rome"}


def test_without_the_permission_nothing_is_written(vendor: Running) -> None:
    connector, session = vendor.session(scope="crm.read")
    writer = connector.writer(session, "contacts")
    with pytest.raises(ScopeError):
        writer.create(Outgoing({"properties.city": "Oslo"}, key="key"))
    with pytest.raises(ScopeError):
        writer.delete(Outgoing({}, id="contact-1"))
    assert vendor.store.count("contacts", None) == 1000
    assert subscribe(connector, session)["id"], "being told of changes needs no permission to write"


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


def test_an_address_that_is_none_is_refused(vendor: Running) -> None:
    token = vendor.access()
    for url in ("", "ftp://example.test/", "javascript:alert(1)", None, "https://"):
        assert call(vendor, "POST", "/api/webhooks", token, json={"url": url}).status_code == 422, url


def test_what_changed_since_a_time_comes_with_tombstones(vendor: Running) -> None:
    connector, session = vendor.session()
    made = vendor.store.save("deals", None, {"name": "New"})
    vendor.store.delete("deals", "deal-3")
    page = connector.read(session, "deals", Checkpoint.start("incremental", made["updated_at"]))
    assert ([record.id for record in page.records], page.deleted) == ([made["id"]], ("deal-3",))


def test_an_old_refresh_token_ends_the_grant(vendor: Running) -> None:
    tokens = vendor.exchange(vendor.code())
    fresh = vendor.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"]).json()
    assert call(vendor, "GET", "/api/me", fresh["access_token"]).status_code == 200
    again = vendor.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    assert call(vendor, "GET", "/api/me", fresh["access_token"]).status_code == 401


@pytest.mark.parametrize(("fault", "status"), [("rate_limit", 429), ("outage", 503), ("none", 200)])
def test_a_fault_is_switched_on_and_off(vendor: Running, fault: str, status: int) -> None:
    token = vendor.access()
    requests.post(f"{vendor.origin}/faults", data={"fault": fault}, timeout=5)
    answer = call(vendor, "GET", "/api/me", token)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (fault == "rate_limit")


def test_a_token_taken_back_is_refused(vendor: Running) -> None:
    connector, session = vendor.session()
    requests.post(f"{vendor.origin}/faults", data={"fault": "expire"}, timeout=5)
    with pytest.raises(AuthError):
        connector.check(session)


def test_its_records_survive_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "s.sqlite")
    made = first.save("contacts", None, {"city": "Oslo"})
    again = Store(tmp_path / "s.sqlite")
    assert again.find("contacts", made["id"]) == made
    assert again.count("contacts", None) == 1001
    assert orjson.loads(orjson.dumps(again.find("contacts", "contact-7"))) == first.find("contacts", "contact-7")
