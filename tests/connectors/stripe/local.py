"""The connector as it is, but for where it calls; and in front of localstripe what it lacks.

localstripe lists events oldest first and knows no `types[]`, and it has no account. The front answers those two, from
localstripe's own events and in Stripe's documented shape; all else goes through to localstripe.
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import requests

from connectors.sdk import Checkpoint, Connector, HttpClient, Pace, Page, Secret, Session
from tests.connectors import local
from tests.connectors.sdk.servers import ALLOW, Answer, Call, Vendor

KEY = "sk_test_localstripe"


class LocalConnector(local.LocalConnector):
    """Stripe at a server of the test."""

    def __init__(self, at: str) -> None:
        super().__init__("stripe", at)


def session(connector: Connector, now: datetime | None = None) -> Session:
    """Return a session with a key."""
    http = HttpClient(hosts=connector.hosts({}), allow=ALLOW, timeout=10.0)
    pace = Pace(connector.manifest.limits, sleep=lambda _seconds: None)
    return Session({}, {"key": Secret(KEY)}, http, pace, lambda: now or datetime.now(UTC))


def read_all(connector: Connector, with_: Session, stream: str, since: str | None = None) -> list[Page]:
    """Return the pages of one pass; each checkpoint goes through JSON, as it does between slices."""
    at, pages = Checkpoint.start("incremental" if since else "full", since), []
    while not pages or not pages[-1].last:
        pages.append(connector.read(with_, stream, at))
        at = Checkpoint.from_json(pages[-1].checkpoint.to_json())
    return pages


class Front(Vendor):
    """Stands before a localstripe; `faults` are answered first."""

    def __init__(self, behind: str) -> None:
        self._behind, self._target = behind, ""
        self.faults: list[Answer] = []
        super().__init__(self._answer)

    def _app(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        self._target = environ["wire.target"]
        return super()._app(environ, start)

    def _answer(self, call: Call) -> Answer:
        if self.faults:
            return self.faults.pop(0)
        if call.path == "/v1/account":
            return (
                200,
                {},
                {"id": "acct_1test", "object": "account", "settings": {"dashboard": {"display_name": "Acme"}}},
            )
        if call.path == "/v1/events":
            return 200, {}, self._events(parse_qsl(self._target.partition("?")[2]))
        headers = {name: value for name, value in call.headers.items() if name in ("authorization", "content-type", "idempotency-key")}  # fmt: skip
        found = requests.request(call.method, self._behind + self._target, headers=headers, data=call.body, timeout=10)
        return found.status_code, {"Content-Type": found.headers["content-type"]}, found.content

    def _events(self, query: list[tuple[str, str]]) -> dict[str, Any]:
        asked, types = dict(query), {value for name, value in query if name == "types[]"}
        begin = {"limit": "100000", **({"created[gte]": asked["created[gte]"]} if "created[gte]" in asked else {})}
        told = requests.get(f"{self._behind}/v1/events", params=begin, auth=(KEY, ""), timeout=10)
        told.raise_for_status()
        found = [event for event in reversed(told.json()["data"]) if event["type"] in types]
        ids = [event["id"] for event in found]
        start = ids.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
        end = start + int(asked["limit"])
        return {"object": "list", "url": "/v1/events", "has_more": end < len(found), "data": found[start:end]}
