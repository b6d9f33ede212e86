"""A vendor that speaks Kinto's protocol, keeps a journal of what is done to it, and fails in every way it is told to."""

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

Item = dict[str, Any]
Answer = tuple[int, dict[str, str], Any]
WriteFault = Literal["refused", "down", "down_after", "lost"]

# A value that is refused whenever it is written.
POISON = "poison"
_RECORDS = "/v1/buckets/crm/collections/contacts/records"
_PAGE = 3


class FaultyKinto:
    """Contacts in memory. `write_fault` and `read_down` meet the next call of their kind, the other switches stay.

    `meanwhile` is called once, in the midst of the next call; `effect` after each write that was made.
    """

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.write_fault: WriteFault | None = None
        self.read_down = self.read_only = self.flaky = False
        self.meanwhile: Callable[[], None] | None = None
        self.effect: Callable[[], None] = lambda: None
        self.writes, self.made, self.taken = 0, list[str](), list[tuple[str, str, Any]]()
        self._clock, self._lock = 1000, threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def calm(self) -> None:
        """Behave well from now on."""
        self.write_fault, self.meanwhile = None, None
        self.read_down = self.read_only = self.flaky = False

    # What people do there.

    def live(self) -> dict[str, Item]:
        """Return the records that are there, oldest first."""
        return {name: item for name, item in self.items.items() if not item.get("deleted")}

    def put(self, name: str, values: Item) -> None:
        """Create a record, or change some of its values; one that is gone stays gone."""
        with self._lock:
            item = self.items.get(name, {"id": name})
            if not item.get("deleted"):
                self._keep({**item, **values})

    def delete(self, name: str) -> None:
        """Delete a record; a tombstone stays."""
        with self._lock:
            self._keep({"id": name, "deleted": True})

    def _keep(self, item: Item) -> Item:
        self._clock += 1
        self.items[item["id"]] = {**item, "last_modified": self._clock}
        return self.items[item["id"]]

    # What Patchbay is answered.

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer | None:
        """Return status, headers and body, None when the connection breaks before that."""
        parts = urlsplit(target)
        query = {name: found[0] for name, found in parse_qs(parts.query).items()}
        hook, self.meanwhile = self.meanwhile, None
        if hook:
            hook()
        with self._lock:
            if method != "GET":
                return self._write(method, parts.path.removeprefix(_RECORDS + "/"), headers, body)
            if not parts.path.startswith(_RECORDS):
                is_list = parts.path.endswith("/records")
                return 200, {"ETag": '"1"'}, {"data": [] if is_list else {"id": "crm"}}
            return self._read(parts.path.removeprefix(_RECORDS).strip("/"), query)

    def _read(self, name: str, query: dict[str, str]) -> Answer:
        if self.read_down:
            self.read_down = False
            return 503, {}, {"errno": 201}
        if self.flaky and self.live():
            # A version that changes though nothing else does.
            self._keep(min(self.live().values(), key=lambda item: int(item["last_modified"])))
        if name:
            item = self.live().get(name)
            return (200, {}, {"data": item}) if item else (404, {}, {"errno": 110})
        return self._list(query)

    def _list(self, query: dict[str, str]) -> Answer:
        since = query.get("_since", "").strip('"')
        found = list((self.items if since else self.live()).values())
        if since:
            found = [item for item in found if item["last_modified"] > int(since)]
        if "id" in query:
            found = [item for item in found if item["id"] == query["id"]]
        found.sort(key=lambda item: -item["last_modified"])
        if "_token" in query:
            found = [item for item in found if item["last_modified"] < int(query["_token"])]
        headers = {"ETag": f'"{self._clock}"', "Total-Records": str(len(self.live()))}
        if len(found) > _PAGE:
            more = f"&_since={since}" if since else ""
            headers["Next-Page"] = f"{self.origin}{_RECORDS}?_token={found[_PAGE - 1]['last_modified']}{more}"
        return 200, headers, {"data": found[:_PAGE]}

    def _write(self, method: str, name: str, headers: Any, body: bytes) -> Answer | None:
        fault, self.write_fault = self.write_fault, None
        values = json.loads(body)["data"] if body else {}
        if self.read_only:
            return 403, {}, {"errno": 121, "message": "This user cannot access this resource."}
        if fault == "down":
            return 503, {}, {"errno": 201}
        if fault == "refused" or POISON in values.values():
            return 400, {}, {"errno": 107, "message": "Invalid parameters"}
        said = self._effect(method, name, headers, values)
        if said[0] < 300:
            self.writes += 1
            self.effect()
        if fault == "lost":
            return None
        return (503, {}, {"errno": 201}) if fault == "down_after" else said

    def _effect(self, method: str, name: str, headers: Any, values: Item) -> Answer:
        item = self.live().get(name)
        guard = headers.get("If-Match")
        if method == "PUT":
            if item and headers.get("If-None-Match") == "*":
                return 412, {}, {"errno": 114, "details": {"existing": item}}
            self.made.append(name)
            return 201, {}, {"data": self._keep({"id": name, **values})}
        if item is None:
            return 404, {}, {"errno": 110}
        if guard and guard != f'"{item["last_modified"]}"':
            return 412, {}, {"errno": 114}
        lost = item if method == "DELETE" else values
        self.taken += [
            (name, field, item[field]) for field in lost if field in item and item[field] != values.get(field)
        ]
        new = {"id": name, "deleted": True} if method == "DELETE" else {**item, **values}
        return 200, {}, {"data": self._keep(new)}


def _handler_of(vendor: FaultyKinto) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = vendor.answer(self.command, self.path, self.headers, body)
            if said is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, headers, data = said
            content = json.dumps(data).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json", "Content-Length": str(len(content)), **headers
            }.items():  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_PATCH = do_DELETE = _serve  # the names that http.server calls

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
