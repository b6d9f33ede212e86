"""A small HubSpot: the calls that the connector makes, with the limits that matter, as its documents describe them.

The search shows 10,000 records at most and pages by offset, so its pages move when a record changes; lists go by id and
show live records only; a property with unique values is refused twice; a batch answers for each of its records.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from tests.connectors.hubspot.properties import properties_of
from tests.connectors.sdk.servers import Answer, Call

CAP, LIST_SIZE, SEARCH_SIZE, PORTAL = 10_000, 100, 200, 62515
CHANGED = {"contacts": "lastmodifieddate", "companies": "hs_lastmodifieddate", "deals": "hs_lastmodifieddate"}
UNIQUE = {"contacts": ("email", "patchbay_reference"), "companies": ("patchbay_reference",), "deals": ("patchbay_reference",)}  # fmt: skip
TOKEN = "test-access-token-0000"
BASE = 1_795_478_400_000  # 2026-11-24T00:00:00Z in milliseconds


def stamp(ms: int) -> str:
    """Return milliseconds since 1970 as HubSpot writes a time."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


@dataclass
class Record:
    """One record; `changed` in milliseconds."""

    id: int
    properties: dict[str, str]
    changed: int
    archived: bool = False


def error(status: int, category: str, message: str, **more: Any) -> Answer:
    """Return an error as HubSpot writes it."""
    body = {
        "status": "error", "message": message, "category": category,
        "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf", **more,
    }  # fmt: skip
    return status, {}, body


@dataclass
class HubSpot:
    """The vendor: `answer` is what a server is made of. `before` is called ahead of each search."""

    records: dict[str, dict[int, Record]] = field(default_factory=lambda: {name: {} for name in CHANGED})
    clock: int = BASE
    before: Callable[[int], None] | None = None
    searches: int = 0
    next_id: int = 101
    fault: Answer | None = None

    def add(self, kind: str, changed: int | None = None, **properties: str) -> Record:
        """Add a record, changed at a time of one's own choice."""
        record = Record(self.next_id, properties, self._tick() if changed is None else changed)
        self.next_id += 1
        self.records[kind][record.id] = record
        return record

    def change(self, kind: str, record_id: int, **properties: str) -> None:
        """Change a record now."""
        record = self.records[kind][record_id]
        record.properties.update(properties)
        record.changed = self._tick()

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    def answer(self, call: Call) -> Answer:
        """Answer one call, with the vendor's own time."""
        date = formatdate(self.clock // 1000, usegmt=True)
        status, headers, body = self._answer(call)
        return status, {"Date": date, **headers}, body

    def _answer(self, call: Call) -> Answer:
        if call.path.startswith("/oauth/"):
            return self._oauth(call)
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if self.fault:
            return self.fault
        parts = unquote(call.path).strip("/").split("/")
        if parts[0] == "account-info":
            return 200, {}, {"portalId": PORTAL, "accountType": "STANDARD", "timeZone": "UTC", "companyCurrency": "EUR"}
        if parts[2] == "properties":
            return 200, {}, {"results": properties_of(CHANGED[parts[3]])}
        kind, rest = parts[3], parts[4:]
        body = orjson.loads(call.body) if call.body else {}
        if rest == ["search"]:
            return self._search(kind, body)
        if rest[:1] == ["batch"]:
            return self._batch(kind, rest[1], body)
        if rest:
            return self._one(kind, int(rest[0]), call, body)
        return self._create(kind, body) if call.method == "POST" else self._list(kind, call.query)

    def shown(self, kind: str, record: Record, names: list[str], **more: Any) -> dict[str, Any]:
        """Return a record as it is sent: the properties that were asked for, empty ones left out."""
        held = record.properties | {CHANGED[kind]: stamp(record.changed), "createdate": stamp(BASE)}
        held |= {"hs_object_id": str(record.id)}
        asked = {name: held[name] for name in {*names, CHANGED[kind], "createdate", "hs_object_id"} if held.get(name)}
        return {
            "id": str(record.id), "properties": dict(sorted(asked.items())), "createdAt": stamp(BASE),
            "updatedAt": stamp(record.changed), "archived": record.archived, **more,
        }  # fmt: skip

    def _list(self, kind: str, query: dict[str, str]) -> Answer:
        limit, after = int(query.get("limit", 10)), int(query.get("after", 0))
        if limit > LIST_SIZE:
            return error(400, "VALIDATION_ERROR", f"limit must not be larger than {LIST_SIZE}")
        live = [r for r in self.records[kind].values() if r.id >= after and not r.archived]
        found = sorted(live, key=lambda r: r.id)
        names = query.get("properties", "").split(",")
        page: dict[str, Any] = {"results": [self.shown(kind, r, names) for r in found[:limit]]}
        if len(found) > limit:
            page["paging"] = {"next": {"after": str(found[limit].id), "link": "https://api.hubapi.com/next"}}
        return 200, {}, page

    def _search(self, kind: str, body: dict[str, Any]) -> Answer:
        self.searches += 1
        if self.before:
            self.before(self.searches)
        limit, after = body["limit"], int(body["after"])
        if limit > SEARCH_SIZE or after + limit > CAP:
            return error(400, "VALIDATION_ERROR", "There was a problem with the request.")
        low_id, low_time = self._bounds(kind, body)
        records = self.records[kind].values()
        found = [r for r in records if r.id > low_id and r.changed >= low_time and not r.archived]
        (sort,) = body["sorts"]
        found.sort(key=lambda r: r.changed if sort == CHANGED[kind] else r.id)
        shown = found[after : after + limit]
        page: dict[str, Any] = {
            "total": len(found), "results": [self.shown(kind, r, body["properties"]) for r in shown],
        }  # fmt: skip
        if after + limit < len(found):
            page["paging"] = {"next": {"after": str(after + limit)}}
        return 200, {}, page

    def _bounds(self, kind: str, body: dict[str, Any]) -> tuple[int, int]:
        """Return what ids must be above and times not below; a filter that is neither is a fault of the connector."""
        found = {"hs_object_id": 0, CHANGED[kind]: 0}
        for wanted in (f for group in body["filterGroups"] for f in group["filters"]):
            assert wanted["operator"] == ("GT" if wanted["propertyName"] == "hs_object_id" else "GTE")
            found[wanted["propertyName"]] = int(wanted["value"])
        assert len(found) == 2
        return found["hs_object_id"], found[CHANGED[kind]]

    def _one(self, kind: str, record_id: int, call: Call, body: dict[str, Any]) -> Answer:
        record = self.records[kind].get(record_id)
        if record is None or record.archived:
            return error(404, "OBJECT_NOT_FOUND", "resource not found")
        if call.method == "DELETE":
            record.archived, record.changed = True, self._tick()
            return 204, {}, b""
        if call.method == "PATCH":
            self.change(kind, record_id, **body["properties"])
        names = call.query.get("properties", "").split(",")
        return 200, {}, self.shown(kind, record, names if call.method == "GET" else list(record.properties))

    def _taken(self, kind: str, properties: dict[str, str]) -> str | None:
        for name in UNIQUE[kind]:
            for record in self.records[kind].values():
                if properties.get(name) and record.properties.get(name) == properties[name]:
                    return f"{kind} with this {name} already exists. Existing ID: {record.id}"
        return None

    def _create(self, kind: str, body: dict[str, Any]) -> Answer:
        taken = self._taken(kind, body["properties"])
        if taken:
            return error(409, "CONFLICT", taken)
        record = self.add(kind, **body["properties"])
        return 201, {}, self.shown(kind, record, list(record.properties))

    def _batch(self, kind: str, operation: str, body: dict[str, Any]) -> Answer:
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for item in body["inputs"]:
            done = self._batched(kind, operation, item, body)
            (errors if "category" in done else results).append(done)
        times = {"startedAt": stamp(self.clock), "completedAt": stamp(self.clock)}
        answer = {"status": "COMPLETE", "results": results, **times}
        status = {"create": 201}.get(operation, 200)
        return (207, {}, answer | {"numErrors": len(errors), "errors": errors}) if errors else (status, {}, answer)

    def _batched(self, kind: str, operation: str, item: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        trace = item.get("objectWriteTraceId", "")
        failed = {"status": "error", "context": {"objectWriteTraceId": [trace]}, "errors": [], "links": {}}
        if operation == "read":
            name = body["idProperty"]
            live = [r for r in self.records[kind].values() if r.properties.get(name) == item["id"] and not r.archived]
            missing = {
                "category": "OBJECT_NOT_FOUND",
                "message": "Could not get some objects",
                "context": {"ids": [item["id"]]},
            }
            return self.shown(kind, live[0], body["properties"]) if live else failed | missing
        if operation == "create":
            taken = self._taken(kind, item["properties"])
            if taken:
                return failed | {"category": "CONFLICT", "message": taken}
            record = self.add(kind, **item["properties"])
        elif int(item["id"]) not in self.records[kind]:
            return failed | {"category": "OBJECT_NOT_FOUND", "message": f"{item['id']} was not found"}
        else:
            record = self.records[kind][int(item["id"])]
            self.change(kind, record.id, **item["properties"])
        return self.shown(kind, record, list(record.properties), objectWriteTraceId=trace)

    def _oauth(self, call: Call) -> Answer:
        form = dict(parse_qsl(call.body.decode()))
        if call.path.endswith("/revoke"):
            return 204, {}, b""
        if form.get("refresh_token") == "gone":
            return (
                400,
                {},
                {
                    "error": "invalid_grant",
                    "error_description": "refresh token is invalid",
                    "status": "BAD_REFRESH_TOKEN",
                },
            )
        return 200, {}, {
            "token_type": "bearer", "token_use": "access_token", "access_token": TOKEN, "refresh_token": "test-refresh-1",
            "expires_in": 1800, "hub_id": PORTAL, "scopes": ["oauth", "crm.objects.contacts.read"],
        }  # fmt: skip
