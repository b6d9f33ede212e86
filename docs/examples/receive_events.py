"""Receive events: checks the signature, takes each event once, answers at once.

    PATCHBAY_SECRET=whsec_... python receive_events.py 8080 seen.sqlite

The secret is shown when the subscription is made: `client.subscribe("Billing", "https://app.example.com/events")`.
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from patchbay_client import BadSignatureError, read_event

MOST = 1024 * 1024


class Inbox:
    """The events that were taken, by their ids: what comes again is not handled again."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path)
        self._db.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")

    def take(self, event: dict[str, Any]) -> bool:
        """Handle an event in the transaction that notes it; False when it was handled before."""
        with self._db:
            try:
                self._db.execute("INSERT INTO seen VALUES (?)", (event["id"],))
            except sqlite3.IntegrityError:
                return False
            handle(event)
        return True


def handle(event: dict[str, Any]) -> None:
    """Do what your product does with it. Keep it short, or put it in a queue of your own."""
    print(json.dumps({"type": event["type"], "id": event["id"], "data": event["data"]}), flush=True)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    secret = ""
    inbox: Inbox

    def do_POST(self) -> None:  # the library's name
        """Take an event."""
        length = int(self.headers.get("Content-Length", "0"))
        if length > MOST:
            self._answer(413)
            return
        try:
            event = read_event(self.secret, dict(self.headers), self.rfile.read(length))
        except BadSignatureError:
            self._answer(401)
            return
        self.inbox.take(event)
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing; events are printed."""


def main(port: int, path: str) -> None:
    """Serve until stopped."""
    Handler.secret, Handler.inbox = os.environ["PATCHBAY_SECRET"], Inbox(path)
    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
