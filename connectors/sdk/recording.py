"""Recording fixtures: a client that keeps what it sends and gets, and turns it into files without secrets or people."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
import urllib3

from connectors.sdk.fixtures import REDACTED
from connectors.sdk.http import HttpClient, Response

# Headers of an answer that a connector may read; all others are left out.
_HEADERS = {"content-type", "etag", "link", "date", "next-page", "retry-after", "total-records", "location"}
# Headers of a request that change what it means.
_SENT = {"if-match", "if-none-match", "idempotency-key", "prefer"}
SECRET_KEYS = re.compile(
    r"(?i)^(access|refresh|id|auth|bearer|session)_?token$|^(client_?)?secret$|^pass(word|wd|phrase)$"
    r"|^api_?key$|^private_?key$|^(authorization|cookie|set-cookie|credentials?)$"
)
SECRET_SHAPES = re.compile(
    r"(sk|rk|pk)_(live|test)_[0-9A-Za-z]{10,}|gh[pousr]_[0-9A-Za-z]{20,}|github_pat_\w{20,}|xox[abeoprs]-[0-9A-Za-z-]{10,}"
    r"|pat-(na|eu)\d-[0-9a-f-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"
    r"|whsec_(?!test)[\w+/=]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY|(?i:bearer|basic) [\w+/=.-]{16,}"
)
_MAIL = re.compile(r"[A-Za-z0-9._%+'-]+@([A-Za-z0-9-]+\.)+[A-Za-z]{2,}")
# Domains that belong to nobody (RFC 2606 and RFC 6761).
_NOBODY = re.compile(r"(?i)(^|[@.])(example\.(com|org|net)|[a-z0-9-]+\.(test|example|invalid|localhost))$")


def foreign_mail(text: str) -> str | None:
    """Return the first e-mail address of a domain that may belong to somebody, None when there is none."""
    found = (match.group(0) for match in _MAIL.finditer(text))
    return next((mail for mail in found if not _NOBODY.search(mail)), None)


def redact(value: Any, secrets: Collection[str] = (), mails: bool = True) -> Any:
    """Return a JSON value without secrets; e-mail addresses of real domains become ones of nobody, always the same."""
    if isinstance(value, dict):
        return {
            name: REDACTED if SECRET_KEYS.search(name) and inner not in (None, "") else redact(inner, secrets, mails)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [redact(item, secrets, mails) for item in value]
    if not isinstance(value, str):
        return value
    for secret in secrets:
        if len(secret) > 3:
            value = value.replace(secret, REDACTED)
    value = SECRET_SHAPES.sub(REDACTED, value)
    return (
        _MAIL.sub(lambda found: found[0] if _NOBODY.search(found[0]) else _nobody(found[0]), value) if mails else value
    )


def _nobody(mail: str) -> str:
    return f"person-{hashlib.sha256(mail.lower().encode()).hexdigest()[:8]}@example.test"


@dataclass
class Recorder(HttpClient):
    """Calls like any client and keeps every exchange whole, for fixtures."""

    secrets: Collection[str] = ()
    verified: str = ""
    # Texts to write instead of others: the address of a local server, versions that differ each time.
    rename: dict[str, str] = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)
    _next: str = ""

    def call_it(self, name: str) -> None:
        """Name the exchanges that follow."""
        self._next = name

    def _send(
        self, pool: urllib3.HTTPConnectionPool, method: str, path: str, body: bytes | None,
        headers: dict[str, str], host: str,
    ) -> Response:  # fmt: skip
        response = super()._send(pool, method, path, body, headers, host)
        lower = {name.lower(): value for name, value in headers.items()}
        self.kept.append(self._fixture(method, path, body, lower, response))
        return response

    def _fixture(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], response: Response
    ) -> dict[str, Any]:
        address, _, query = path.partition("?")
        asked: dict[str, Any] = {"method": method, "path": unquote(address)}
        pairs: dict[str, Any] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if value not in self.secrets:
                pairs[name] = value if name not in pairs else [*_listed(pairs[name]), value]
        asked["query"] = pairs
        sent = {name: value for name, value in headers.items() if name in _SENT}
        if sent:
            asked["headers"] = sent
        form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        if form and body:
            asked["form"] = dict(parse_qsl(body.decode(), keep_blank_values=True))
        else:
            asked["body"] = orjson.loads(body) if body else None
        answered = {
            "status": response.status,
            "headers": {name: value for name, value in response.headers.items() if name in _HEADERS},
            "body": _json_or_text(response.body),
        }
        found = redact({"request": asked, "response": answered}, self.secrets)
        return {"name": self._next or f"{method} {address}", "verified": self.verified, **found}

    def write(self, folder: Path, name: str, *, keep_first: int = 0, records: str = "") -> list[Path]:
        """Write what was kept as files `<name>[-2].json` and forget it; `keep_first` cuts lists at `records` short."""
        folder.mkdir(parents=True, exist_ok=True)
        for older in folder.glob(f"{name}-[0-9].json"):
            older.unlink()
        written = []
        for number, data in enumerate(self.kept, start=1):
            if keep_first:
                _cut(data["response"]["body"], records, keep_first)
            file = folder / (f"{name}.json" if number == 1 else f"{name}-{number}.json")
            text = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
            for old, new in self.rename.items():
                text = text.replace(old, new)
            file.write_text(text + "\n")
            written.append(file)
        self.kept.clear()
        return written


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _json_or_text(body: bytes) -> Any:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:4096].decode("utf-8", "replace")


def _cut(body: Any, records: str, count: int) -> None:
    at: Any = body
    for part in records.split(".") if records else []:
        at = at.get(part) if isinstance(at, dict) else None
    if isinstance(at, list):
        del at[count:]
