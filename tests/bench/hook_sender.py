"""A sender of webhooks: `python -m tests.bench.hook_sender PORT` with its work as JSON on stdin; prints what it measured.

Requests are signed and written out before the clock runs, and sent over connections that stay open, so that the two
servers compared get the same bytes from the same program. What is answered 503 is sent again, as vendors do.
"""

import json
import socket
import statistics
import sys
import threading
import time
from collections import Counter
from typing import Any

from connectors.sandbox.vendor.events import signed


def prepare(work: dict[str, Any]) -> list[bytes]:
    """Return the requests: one for each record named, with the id of an event."""
    made = []
    for number, record in enumerate(work["records"], work["first"]):
        name = f"evt_{number}"
        event = {
            "id": name, "type": work.get("type", "updated"), "object": "contacts", "record_id": record,
            "account": "acme", "occurred_at": "2026-11-27T12:00:00Z", "record": None,
        }  # fmt: skip
        body = json.dumps(event).encode()
        headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(body))}
        headers |= signed(work["secret"], name, body)
        head = f"POST {work['path']} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
        made.append(head.encode() + body)
    return made


class Sender:
    """Sends requests over several connections; `rate` a second at most, 0 for as fast as it goes."""

    def __init__(self, port: int, requests: list[bytes], rate: float) -> None:
        self.port, self.rate = port, rate
        self.requests, self._waiting = requests, iter(requests)
        self._lock, self._number = threading.Lock(), 0
        self.took: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.began = time.perf_counter()

    def run(self, connections: int) -> float:
        """Send everything; return the seconds."""
        threads = [threading.Thread(target=self._work) for _ in range(connections)]
        self.began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - self.began

    def _next(self) -> bytes | None:
        with self._lock:
            request = next(self._waiting, None)
            due = self.began + self._number / self.rate if self.rate else 0.0
            self._number += 1
        if request is not None and due > time.perf_counter():
            time.sleep(max(0.0, due - time.perf_counter()))
        return request

    def _work(self) -> None:
        wire: socket.socket | None = None
        while (request := self._next()) is not None:
            status = 503
            while status != 200:
                at = time.perf_counter()
                try:
                    wire = wire or socket.create_connection(("127.0.0.1", self.port), timeout=60)
                    wire.sendall(request)
                    status, wire = self._answer(wire)
                except OSError:
                    status, wire = 0, None
                self.took.append(time.perf_counter() - at)
                self.statuses[status] += 1
                if status != 200:
                    time.sleep(0.5)

    def _answer(self, wire: socket.socket) -> tuple[int, socket.socket | None]:
        data = b""
        while b"\r\n\r\n" not in data:
            more = wire.recv(4096)
            if not more:
                return 0, None
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(rest) < length:
            rest += wire.recv(4096)
        return int(head[9:12]), None if b"connection: close" in lower else wire


def main() -> None:
    """Read the work, send it, print what it took."""
    work = json.loads(sys.stdin.read())
    sender = Sender(int(sys.argv[1]), prepare(work), work.get("rate", 0))
    seconds = sender.run(work.get("connections", 8))
    found = statistics.quantiles(sender.took * 2, n=100)
    print(json.dumps({
        "seconds": seconds, "p50": found[49], "p99": found[98], "statuses": sender.statuses, "at": time.time(),
        "repeated": sum(sender.statuses.values()) - len(sender.requests),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
