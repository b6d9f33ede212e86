"""The door of a provider: everything passes through it, is counted, and can be held back, cut off, or lost on its way.

Its origin is the provider's issuer and the `server` of the connection, as a reverse proxy's is.
"""

import http.client
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

PEOPLE = 3
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Gate:
    """Stops one refresh: `request` before it reaches the provider, `answer` when the provider has answered."""

    stops: str
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    lost: bool = False

    def open(self, *, lost: bool = False) -> None:
        """Let it pass, or lose it."""
        self.lost = lost
        self.opened.set()

    def hold(self) -> bool:
        """Wait and return whether it may pass."""
        self.reached.set()
        assert self.opened.wait(60)
        return not self.lost


class Front:
    """A reverse proxy on a port of its own."""

    def __init__(self) -> None:
        self.behind: dict[str, int] = {}
        self.calls: list[tuple[str, int]] = []
        self.cut = False
        self.on_request: Callable[[str], None] | None = None
        # A resource of the provider's: who a bearer token belongs to -> what /api answers.
        self.owner_of: Callable[[str], str | None] | None = None
        self._gate: Gate | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"front": self}))
        self._server.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def put_before(self, port: int, prefix: str = "/") -> None:
        """Pass requests whose path begins with `prefix` on to `port`; the longest prefix wins."""
        self.behind[prefix] = port

    def port_of(self, path: str) -> int:
        """Return where a path goes."""
        return self.behind[max((prefix for prefix in self.behind if path.startswith(prefix)), key=len)]

    def count(self, grant: str, status: int | None = None) -> int:
        """Return how many token calls of a grant type the provider has answered, or `revoke` calls."""
        return sum(call[0] == grant and status in (None, call[1]) for call in list(self.calls))

    def gate(self, stops: str) -> Gate:
        """Stop the next refresh."""
        self._gate = Gate(stops)
        return self._gate

    def take_gate(self, grant: str) -> Gate | None:
        """Return the gate for this call, which stops only one."""
        found = self._gate if grant == "refresh_token" else None
        if found:
            self._gate = None
        return found

    def reset(self) -> None:
        """Forget the counts and faults of the test before."""
        self.calls.clear()
        self.cut, self._gate, self.on_request = False, None, None

    def stop(self) -> None:
        """Close the door."""
        self._server.shutdown()
        self._server.server_close()


def _grant_of(path: str, body: bytes) -> str:
    if path.rstrip("/").endswith(("/revocation", "/revoke_token")):
        return "revoke"
    return parse_qs(body.decode("latin-1")).get("grant_type", [""])[0] if b"grant_type=" in body else ""


class _Handler(BaseHTTPRequestHandler):
    front: "Front"
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        grant = _grant_of(self.path.partition("?")[0], body)
        if self.front.on_request:
            self.front.on_request(self.path)
        gate = self.front.take_gate(grant)
        if self.front.cut or (gate and gate.stops == "request" and not gate.hold()):
            self.close_connection = True
            return
        answer = self._ask(body)
        if answer is None:
            self.close_connection = True
            return
        if grant:
            self.front.calls.append((grant, answer[0]))
        if gate and gate.stops == "answer" and not gate.hold():
            self.close_connection = True
            return
        self._answer(*answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes] | None:
        if self.front.owner_of and self.path.startswith("/api/"):
            owner = self.front.owner_of(self.headers.get("authorization", "").removeprefix("Bearer "))
            people = [{"id": f"{owner}-{number}", "name": f"Person {number}"} for number in range(PEOPLE)]
            return 200 if owner else 401, [], json.dumps({"people": people if owner else []}).encode()
        behind = http.client.HTTPConnection("127.0.0.1", self.front.port_of(self.path), timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        try:
            behind.request(self.command, self.path, body or None, headers)
            answer = behind.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except OSError:
            return None
        finally:
            behind.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
