"""Writes the fixtures of connectors/hubspot from the test's own HubSpot: `python -m tests.connectors.hubspot.record`.

Each request and answer is one that test_requests.py holds against HubSpot's OpenAPI documents.
"""

import json
from typing import Any

import orjson

from connectors import registry
from connectors.sdk import Checkpoint
from tests.connectors.hubspot.cases import ERRORS, EVENTS, SINCE, STREAMS, fill, writes_of
from tests.connectors.hubspot.sessions import here, session_at
from tests.connectors.hubspot.vendor import HubSpot
from tests.connectors.sdk.servers import Answer, Call, Vendor

FOLDER = registry.folder("hubspot") / "fixtures"
VERIFIED = "vendor's OpenAPI document, 2026-11-24"
DOCUMENTED = "vendor's documentation, 2026-11-24"


class Keeper:
    """Keeps every call and its answer."""

    def __init__(self, vendor: HubSpot) -> None:
        self.vendor, self.kept, self.name = vendor, {}, ("check", "check")

    def answer(self, call: Call) -> Answer:
        """Answer as the vendor does, and keep it."""
        status, headers, body = self.vendor.answer(call)
        file, name = self.name
        spec = VERIFIED if call.path.startswith("/crm/v3/objects") else DOCUMENTED
        sent = orjson.loads(call.body) if call.body else None
        self.kept.setdefault(file, []).append(
            {
                "name": name, "verified": spec,
                "request": {"method": call.method, "path": call.path, "query": call.query, "body": sent},
                "response": {"status": status, "headers": {"content-type": "application/json"}, "body": body or None},
            }
        )  # fmt: skip
        return status, headers, body


def main() -> None:
    """Ask everything the connector can ask, and write what was answered."""
    FOLDER.mkdir(exist_ok=True)
    keeper = Keeper(fill(HubSpot()))
    server = Vendor(keeper.answer)
    try:
        _ask(keeper, server.origin)
    finally:
        server.stop()
    keeper.kept["errors"] = ERRORS
    keeper.kept["webhooks"] = [{"name": name, "verified": DOCUMENTED, **event} for name, event in EVENTS.items()]
    for name, found in keeper.kept.items():
        (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _ask(keeper: Keeper, origin: str) -> None:
    connector, session = here(), session_at(origin)
    connector.check(session)
    for stream in STREAMS:
        asks: list[tuple[str, Any]] = [
            ("in full", lambda s=stream: connector.read(session, s, Checkpoint.start("full", None))),
            ("changes", lambda s=stream: connector.read(session, s, Checkpoint.start("incremental", SINCE))),
            ("one record", lambda s=stream: connector.fetch(session, s, "101" if s == "contacts" else "104" if s == "companies" else "106")),
            ("properties", lambda s=stream: connector.discover(session, s)),
        ]  # fmt: skip
        asks += [(c.operation, lambda c=c: _write(connector.writer(session, c.stream), c)) for c in writes_of(stream)]
        for name, ask in asks:
            keeper.name = (stream, name)
            ask()


def _write(writer: Any, case: Any) -> None:
    if case.operation.startswith("batch_"):
        writer.batch(case.operation.removeprefix("batch_"), case.records)
    elif case.operation == "find":
        writer.find(case.records[0].reference)
    else:
        getattr(writer, case.operation)(case.records[0])


if __name__ == "__main__":
    main()
