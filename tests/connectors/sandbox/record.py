"""Records the fixtures of connectors/sandbox from its vendor: `python -m tests.connectors.sandbox.record`."""

import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import orjson
import requests

from connectors import registry
from connectors.sdk import Checkpoint, Connector, ConnectorError, Outgoing, Secret, Session
from connectors.sdk.recording import Recorder
from tests.connectors.sandbox.running import ALLOW, Running
from tests.connectors.sandbox.test_contract import BATCH, CHANGES, NAMES, NEW, SERVER, SINCE, subscribe

FOLDER = registry.folder("sandbox") / "fixtures"
VERIFIED = "live, Sandbox CRM, 2026-11-24"
_KEPT = ("contact-0", "contact-1", "contact-2", "contact-101", "contact-202", "contact-303", "companie-0", "companie-1", "deal-0", "deal-1")  # fmt: skip


def main() -> None:
    """Start the vendor with few records, ask all that the connector can ask, and write the files."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.json"):
        file.unlink()
    vendor = Running(largest_page=4)
    marks = ", ".join("?" for _ in _KEPT)
    vendor.store.execute(f"DELETE FROM records WHERE id NOT IN ({marks})", _KEPT)
    connector = registry.get("sandbox")
    http = Recorder(
        connector.hosts({"server": vendor.origin}), allow=ALLOW, verified=VERIFIED, rename={vendor.origin: SERVER}
    )  # fmt: skip
    connector, session = vendor.session(http)
    http.secrets = [session.credentials["access_token"].reveal()]
    try:
        _reads(connector, session, http)
        _writes(connector, session, http)
        _event(vendor)
    finally:
        vendor.stop()


def _reads(connector: Connector, session: Session, http: Recorder) -> None:
    http.call_it("check")
    connector.check(session)
    http.write(FOLDER, "check")
    for stream in ("companies", "contacts", "deals"):
        http.call_it(f"{stream}, full pass")
        at, last = Checkpoint.start("full", None), False
        while not last:
            page = connector.read(session, stream, at)
            at, last = page.checkpoint, page.last
        http.write(FOLDER, f"{stream}-full")
    http.call_it("the fields of contacts")
    connector.discover(session, "contacts")
    http.write(FOLDER, "contacts-fields")
    http.call_it("one contact")
    connector.fetch(session, "contacts", "contact-1")
    http.write(FOLDER, "contacts-one")


def _writes(connector: Connector, session: Session, http: Recorder) -> None:
    writer = connector.writer(session, "contacts")
    http.call_it("create")
    made = writer.create(Outgoing(NEW, key="key-1"))
    http.call_it("update of the version that was read")
    changed = writer.update(Outgoing({"properties.city": "Oslo"}, id=made.id, version=made.version))
    http.call_it("delete")
    writer.delete(Outgoing({}, id=made.id, version=changed.version))
    http.rename |= {
        str(made.id): NAMES["made"],
        str(made.version): NAMES["version"],
        str(changed.version): NAMES["later"],
    }
    http.write(FOLDER, "contacts-write")
    http.call_it("contacts, what changed, with one that is gone")
    connector.read(session, "contacts", Checkpoint.start("incremental", SINCE))
    http.write(FOLDER, "contacts-changes")
    http.call_it("several at once, one of them refused")
    companies = connector.writer(session, "companies")
    companies.batch("create", BATCH)
    companies.batch("update", CHANGES)
    http.write(FOLDER, "companies-batch")
    http.call_it("subscription")
    http.rename[subscribe(connector, session)["id"]] = NAMES["hook"]
    http.write(FOLDER, "subscription")
    http.call_it("an old version is refused")
    with suppress(ConnectorError):
        writer.update(Outgoing({"properties.city": "Oslo"}, id="contact-1", version="2020-01-01T00:00:00.000Z"))
    http.call_it("values that are refused")
    with suppress(ConnectorError):
        writer.create(Outgoing({"properties.nothing": "1"}, key="key-2"))
    http.call_it("a token that is not known")
    with suppress(ConnectorError):
        connector.check(_with_token(session, "test-unknown"))
    http.write(FOLDER, "error")


def _with_token(session: Session, token: str) -> Session:
    return replace(session, credentials={"access_token": Secret(token)})


def _event(vendor: Running) -> None:
    """Let the vendor send an event to a listener and keep its body."""
    received: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    requests.post(
        f"{vendor.origin}/api/webhooks", json={"url": f"http://127.0.0.1:{server.server_port}/"},
        headers={"authorization": f"Bearer {vendor.access()}"}, timeout=5,
    ).raise_for_status()  # fmt: skip
    vendor.store.save("contacts", "contact-1", {"city": "Oslo"})
    vendor.store.delete("deals", "deal-1")
    vendor.events.wait()
    server.shutdown()
    found = [("contacts", "upsert", "contact-1"), ("deals", "delete", "deal-1")]
    for body, (stream, action, record_id) in zip(received, found, strict=True):
        data = {
            "name": f"{stream}: {action}", "verified": VERIFIED, "webhook": {"body": orjson.loads(body)},
            "events": [{"stream": stream, "action": action, "id": record_id}],
        }  # fmt: skip
        (FOLDER / f"webhook-{action}.json").write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
