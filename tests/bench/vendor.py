"""A vendor in memory that is as fast as a vendor can be: lists, changes since a moment, and writes with versions.

Usage: python -m tests.bench.vendor PORT N. GET /contacts?limit&after, GET /contacts?since=V&after (V: the version from
which on), GET and PATCH /contacts/ID with If-Match, POST /touch?count=C (somebody there changes C records), GET /writes.
"""

import asyncio
import json
import sys
from bisect import bisect_left, bisect_right
from typing import Any
from urllib.parse import parse_qs, urlsplit

SIZE = 100


class Vendor:
    """The records, and the order in which they were changed last."""

    def __init__(self, count: int) -> None:
        self.clock = 0
        self.rows: dict[str, dict[str, Any]] = {}
        # The rows in the order of their versions, as of `sorted_at`.
        self.order: list[dict[str, Any]] = []
        self.sorted_at = -1
        for number in range(count):
            self.put(str(number), _contact(number))
        self.writes = 0

    def put(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Keep a record as the newest."""
        self.clock += 1
        self.rows.pop(name, None)
        self.rows[name] = {"id": name, "version": f"{self.clock:012}", "properties": values}
        return self.rows[name]

    def list(self, since: str, after: str) -> dict[str, Any]:
        """Return a page of what was changed from `since` on, in the order of changes."""
        if self.clock != self.sorted_at:
            self.sorted_at, self.order = self.clock, list(self.rows.values())
        if after >= since:
            start = bisect_right(self.order, after, key=_version)
        else:
            start = bisect_left(self.order, since, key=_version)
        page = self.order[start : start + SIZE]
        more = {"next": {"after": page[-1]["version"]}} if start + SIZE < len(self.order) else {}
        return {"results": page, "paging": more}


def _version(row: dict[str, Any]) -> str:
    return str(row["version"])


def _contact(number: int) -> dict[str, Any]:
    return {
        "email": f"user{number}@example.test", "firstname": "Ada", "lastname": f"Byron {number}",
        "phone": f"+44 {number}", "company": f"Company {number % 500}", "city": "London", "country": "GB",
        "lifecyclestage": "customer", "notes": "n" * 120,
    }  # fmt: skip


class Server:
    """The HTTP side; a full list is rendered once."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        self.pages: dict[tuple[str, str], bytes] = {}

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Return status and body."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/touch":
            for number in range(int(query["count"])):
                name = str(number * 7 % len(self.vendor.rows))
                row = self.vendor.rows[name]["properties"]
                self.vendor.put(name, {**row, "city": f"Town {self.vendor.clock}"})
            return 200, b"{}"
        if parts.path == "/writes":
            return 200, json.dumps({"writes": self.vendor.writes}).encode()
        if parts.path == "/contacts":
            return 200, self._page(query.get("since", ""), query.get("after", ""))
        name = parts.path.rsplit("/", 1)[-1]
        row = self.vendor.rows[name]
        if method == "PATCH":
            if headers.get("if-match", "").strip('"') not in ("", row["version"]):
                return 412, b"{}"
            self.vendor.writes += 1
            row = self.vendor.put(name, {**row["properties"], **json.loads(body)["properties"]})
        return 200, json.dumps(row).encode()

    def _page(self, since: str, after: str) -> bytes:
        key = (since, after)
        if self.vendor.clock > len(self.vendor.rows) or key not in self.pages:
            self.pages[key] = json.dumps(self.vendor.list(since, after)).encode()
        return self.pages[key]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, target, _ = first.split(" ", 2)
                status, content = self.answer(method, target, headers, body)
                head = (
                    f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
                )
                writer.write(head.encode() + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def main() -> None:
    """Serve until killed."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    server = await asyncio.start_server(Server(Vendor(count)).serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
