"""A small typed client of the Patchbay API. Needs `requests` and nothing else; copy it into your product.

    client = Patchbay("https://integrations.example.com", os.environ["PATCHBAY_KEY"], tenant="customer-42")
    client.upsert_record("contact", "user-7", {"email": "ada@example.com"})

Every POST carries an Idempotency-Key, so what is repeated after a lost answer is done once.
"""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict
from urllib.parse import quote

import requests


class Record(TypedDict):
    """A record. `data` is null for keys without the scope `payloads`."""

    id: str
    object_type: str
    external_id: str | None
    version: int
    data: dict[str, Any] | None
    created_at: str
    updated_at: str
    deleted_at: str | None


class BatchResult(TypedDict):
    """What became of one item of a batch."""

    outcome: Literal["created", "updated", "unchanged", "deleted", "failed"]
    id: str | None
    external_id: str | None
    version: int | None
    error: dict[str, Any] | None


class Change(TypedDict):
    """A change of a record."""

    id: str
    record_id: str
    object_type: str
    external_id: str | None
    kind: Literal["added", "updated", "deleted"]
    fields: list[str]
    data: dict[str, Any] | None
    writer: str
    installation_id: str | None
    at: str


class Changes(TypedDict):
    """A part of the change stream; keep `next`."""

    data: list[Change]
    next: str
    more: bool


class PatchbayError(Exception):
    """The API has refused a request. `code` is stable; name `request_id` when you ask for help."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.request_id = str(problem.get("request_id", ""))
        self.errors: list[dict[str, str]] = list(problem.get("errors") or [])
        super().__init__(f"{status} {self.code}: {problem.get('detail', '')} (request {self.request_id})")


class Patchbay:
    """The API for one tenant. `tenant` is your own id of the customer; leave it out with a key of the tenant."""

    def __init__(self, url: str, key: str, *, tenant: str | None = None, tries: int = 4) -> None:
        self._url = f"{url.rstrip('/')}/api/v1"
        self._tries = tries
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        if tenant:
            self._session.headers["Patchbay-Tenant"] = tenant

    def request(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # fmt: skip
        """Send a request and return the answer's JSON; PatchbayError when it is refused.

        A lost answer, 429 and 503 are tried again, with what the API asks to wait.
        """
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        for left in range(self._tries - 1, -1, -1):
            try:
                answer = self._session.request(
                    method, self._url + path, json=body, params=params, headers=sent, timeout=30
                )
            except requests.ConnectionError:
                if not left:
                    raise
                time.sleep(1)
                continue
            if answer.status_code in (429, 503) and left:
                time.sleep(min(float(answer.headers.get("Retry-After", "1")), 60))
                continue
            if answer.status_code >= 400:
                problem = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
                raise PatchbayError(answer.status_code, problem)
            return answer.json() if answer.content else None
        raise AssertionError("unreachable")

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield every item of a list, page after page."""
        cursor = ""
        while cursor is not None:
            page = self.request("GET", path, params={**params, "cursor": cursor})
            yield from page["data"]
            cursor = page["next"]

    def records(self, object_type: str, **filters: Any) -> Iterator[Record]:
        """Yield the records of a type; filters are those of the API: find, external_id, updated_since, deleted."""
        yield from self.pages(f"/records/{object_type}", limit=500, **filters)  # type: ignore[misc]  # as the API has it

    def upsert_record(
        self, object_type: str, external_id: str, data: Mapping[str, Any], *, match: str | None = None
    ) -> Record:
        """Create or change a record by your own id; `match` takes one that came from an integration by a key field."""
        name = quote(external_id, safe="")
        body = {"data": dict(data), "match": match}
        found: Record = self.request("PUT", f"/records/{object_type}/external/{name}", body)
        return found

    def update_record(self, record: Record, data: Mapping[str, Any]) -> Record:
        """Change a record as you have read it; PatchbayError `version_mismatch` when somebody was faster."""
        address = f"/records/{record['object_type']}/{record['id']}"
        found: Record = self.request(
            "PATCH", address, {"data": dict(data)}, headers={"If-Match": f'"{record["version"]}"'}
        )
        return found

    def delete_record(self, record: Record) -> None:
        """Delete a record."""
        self.request("DELETE", f"/records/{record['object_type']}/{record['id']}")

    def write_batch(self, object_type: str, items: Iterable[Mapping[str, Any]]) -> Iterator[BatchResult]:
        """Write any number of records, 500 at a time; yield a result for each, in their order."""
        part: list[Mapping[str, Any]] = []
        for item in items:
            part.append(item)
            if len(part) == 500:
                yield from self._batch(object_type, part)
                part = []
        if part:
            yield from self._batch(object_type, part)

    def _batch(self, object_type: str, items: Sequence[Mapping[str, Any]]) -> list[BatchResult]:
        found: list[BatchResult] = self.request("POST", f"/records/{object_type}/batch", {"items": items})["results"]
        return found

    def changes(self, cursor: str = "", *, object_type: str = "", start: Literal["first", "now"] = "first") -> Changes:
        """Read a part of the change stream; go on with its `next`."""
        params = {"cursor": cursor, "object_type": object_type, "start": start, "limit": 500}
        found: Changes = self.request("GET", "/changes", params=params)
        return found

    def subscribe(self, name: str, url: str, types: Sequence[str] = ()) -> dict[str, Any]:
        """Subscribe to events and return the subscription; `secret` is shown this once."""
        found: dict[str, Any] = self.request("POST", "/subscriptions", {"name": name, "url": url, "types": list(types)})
        return found

    def put_tenant(self, external_id: str, name: str, zone: str | None = None) -> dict[str, Any]:
        """Make a tenant, with a key of the host; sent again it changes nothing."""
        quoted = quote(external_id, safe="")
        found: dict[str, Any] = self.request("PUT", f"/tenants/{quoted}", {"name": name, "zone": zone})
        return found

    def connect_session(
        self, person: str, *, integration: str | None = None, installation_id: str | None = None,
        return_url: str | None = None,
    ) -> str:  # fmt: skip
        """Return the address to redirect a customer to; it opens the wizard once, within 30 minutes."""
        body = {
            "person": person,
            "integration": integration,
            "installation_id": installation_id,
            "return_url": return_url,
        }
        return str(self.request("POST", "/connect-sessions", body)["url"])


class BadSignatureError(Exception):
    """A message was not signed with the secret, or is too old."""


def read_event(secret: str, headers: Mapping[str, str], body: bytes, *, tolerance: int = 300) -> dict[str, Any]:
    """Return an event after checking its signature (Standard Webhooks). BadSignatureError when it is not ours.

    Check the bytes as they came, before anything parses them.
    """
    sent = {name.lower(): value for name, value in headers.items()}
    message_id, at = sent.get("webhook-id", ""), sent.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > tolerance:
        raise BadSignatureError("too old, or without a time")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = base64.b64encode(hmac.digest(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256)).decode()
    # Two signatures while a secret is exchanged.
    given = [part.partition(",")[2] for part in sent.get("webhook-signature", "").split() if part.startswith("v1,")]
    if not any(hmac.compare_digest(made, one) for one in given):
        raise BadSignatureError("not signed with this secret")
    found: dict[str, Any] = json.loads(body)
    return found
