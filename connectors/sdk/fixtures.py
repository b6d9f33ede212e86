"""Fixtures: requests and answers kept as files beside a connector, and a client that answers from them.

A file holds one fixture or a list of them:
`{"name", "verified", "request": {method, host?, path, query, headers?, body or form}, "response": {status, headers, body}}`,
with `"expect": "<code of the error>"` where the answer is one; or, for an event from the vendor,
`{"name", "verified", "webhook": {"headers", "body"}, "events": [{"stream", "action", "id"}]}`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
import urllib3

from connectors.sdk.http import HttpClient, Response

REDACTED = "[redacted]"


class FixtureError(AssertionError):
    """A fixture file that cannot be used, or a request that has no fixture: the message says what to do."""


@dataclass(frozen=True)
class Fixture:
    """One request and its answer."""

    name: str
    verified: str
    method: str
    host: str | None
    path: str
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any
    form: Mapping[str, str] | None
    response: Response
    expect: str | None
    file: str

    @property
    def is_error(self) -> bool:
        """Whether the answer is one that a call must fail with."""
        return self.response.status >= 400 or self.expect is not None


@dataclass(frozen=True)
class WebhookFixture:
    """One event as the vendor sends it; `headers` are those beside the signature."""

    name: str
    verified: str
    headers: Mapping[str, str]
    body: bytes
    events: tuple[Mapping[str, Any], ...]
    file: str


@dataclass(frozen=True)
class Fixtures:
    """All fixtures of a connector."""

    exchanges: tuple[Fixture, ...] = ()
    webhooks: tuple[WebhookFixture, ...] = ()


def load_fixtures(folder: Path) -> Fixtures:
    """Return the fixtures in a folder's JSON files, in the order of their names; FixtureError says what is wrong."""
    exchanges: list[Fixture] = []
    webhooks: list[WebhookFixture] = []
    for file in sorted(folder.glob("*.json")):
        try:
            data = orjson.loads(file.read_bytes())
        except orjson.JSONDecodeError as error:
            raise FixtureError(f"{file.name} is not JSON: {error}. Correct it, or record it again.") from None
        for item in data if isinstance(data, list) else [data]:
            try:
                if "webhook" in item:
                    webhooks.append(_webhook(item, file.name))
                else:
                    exchanges.append(_exchange(item, file.name))
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise FixtureError(
                    f"{file.name} is no fixture ({type(error).__name__}: {error}). It needs name, verified, and "
                    "request (method, path, query, body) with response (status, headers, body), or webhook (body)."
                ) from None
    return Fixtures(tuple(exchanges), tuple(webhooks))


def _exchange(data: Mapping[str, Any], file: str) -> Fixture:
    asked, answered = data["request"], data["response"]
    headers = {str(name).lower(): str(value) for name, value in (answered.get("headers") or {}).items()}
    return Fixture(
        str(data["name"]), str(data["verified"]), str(asked["method"]).upper(), asked.get("host"), str(asked["path"]),
        dict(asked.get("query") or {}), {k.lower(): str(v) for k, v in (asked.get("headers") or {}).items()},
        asked.get("body"), asked.get("form"),
        Response(int(answered["status"]), headers, content_of(answered.get("body"))), data.get("expect"), file,
    )  # fmt: skip


def _webhook(data: Mapping[str, Any], file: str) -> WebhookFixture:
    sent = data["webhook"]
    headers = {str(name).lower(): str(value) for name, value in (sent.get("headers") or {}).items()}
    events = tuple(dict(event) for event in data.get("events") or ())
    return WebhookFixture(str(data["name"]), str(data["verified"]), headers, content_of(sent["body"]), events, file)


def content_of(body: Any) -> bytes:
    """Return a body as bytes: a text stays as it is, nothing is empty, all else is JSON."""
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


@dataclass
class Replay(HttpClient):
    """Answers from fixtures instead of the network; everything else of the client stays as it is.

    A request is matched by method, host (where the fixture names one), path, query, body, and those headers that the
    fixture names. Of several equal fixtures each answers once, the last one for ever. `secrets` are left out of what
    is compared.
    """

    fixtures: Collection[Fixture] = ()
    secrets: Collection[str] = ()
    used: set[str] = field(default_factory=set)
    _turn: dict[tuple[str, ...], int] = field(default_factory=dict)

    def _pool(self, scheme: str, host: str, port: int) -> urllib3.HTTPConnectionPool:
        return urllib3.HTTPConnectionPool(host, port)  # Never opened: `_send` does not use it.

    def _send(
        self, pool: urllib3.HTTPConnectionPool, method: str, path: str, body: bytes | None,
        headers: dict[str, str], host: str,
    ) -> Response:  # fmt: skip
        asked = _Asked.of(method, host, path, body, headers, self.secrets)
        found = [fixture for fixture in self.fixtures if not asked.differences(fixture)]
        if not found:
            raise FixtureError(_missing(asked, self.fixtures))
        key = tuple(label(fixture) for fixture in found)
        turn = self._turn.get(key, 0)
        self._turn[key] = turn + 1
        fixture = found[min(turn, len(found) - 1)]
        self.used.add(label(fixture))
        return fixture.response

    def knows(self, method: str, path: str) -> bool:
        """Whether any fixture is for this method and path."""
        return any(fixture.method == method and fixture.path == path for fixture in self.fixtures)


def label(fixture: Fixture) -> str:
    """Return what tells a fixture from the others."""
    return f"{fixture.file}: {fixture.name}"


@dataclass(frozen=True)
class _Asked:
    method: str
    host: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Any

    @classmethod
    def of(
        cls, method: str, host: str, path: str, body: bytes | None, headers: Mapping[str, str],
        secrets: Collection[str],
    ) -> "_Asked":  # fmt: skip
        address, _, query = path.partition("?")
        pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[1] not in secrets]
        lower = {name.lower(): value for name, value in headers.items()}
        return cls(method, host, unquote(address), _grouped(pairs), lower, _parsed(body, lower.get("content-type", "")))

    def differences(self, fixture: Fixture) -> list[str]:
        """Return what a request and a fixture differ in, in words."""
        wanted_body: Any = fixture.body
        if fixture.form is not None:
            wanted_body = {str(name): str(value) for name, value in fixture.form.items()}
        query = _grouped((name, text) for name, value in fixture.query.items() for text in _texts(value))
        sent = {name: self.headers.get(name) for name in fixture.headers}
        pairs = [
            ("method", self.method, fixture.method), ("path", self.path, unquote(fixture.path)),
            ("query", self.query, query), ("body", self.body, wanted_body), ("headers", sent, dict(fixture.headers)),
        ]  # fmt: skip
        if fixture.host is not None:
            pairs.append(("host", self.host, fixture.host))
        return [f"{what} {wanted!r}, not {have!r}" for what, have, wanted in pairs if have != wanted]


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if value != REDACTED:
            found.setdefault(name, []).append(value)
    return found


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    return [{True: "True", False: "False"}.get(value, str(value)) if isinstance(value, bool) else str(value)]


def _parsed(body: bytes | None, kind: str) -> Any:
    if not body:
        return None
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _missing(asked: _Asked, fixtures: Collection[Fixture]) -> str:
    query = "".join(f" {name}={','.join(values)}" for name, values in asked.query.items())
    text = f"There is no fixture for {asked.method} {asked.path}{query}" + (
        f" with body {asked.body!r}." if asked.body is not None else "."
    )
    near = sorted(fixtures, key=lambda fixture: len(asked.differences(fixture)))[:1]
    for fixture in near:
        text += f" The nearest is {label(fixture)}; it has {'; '.join(asked.differences(fixture))}."
    return text + " Record it with `flask connectors record`, or write it by hand."
