"""The egress guard: the only module that opens connections to the outside.

Resolves once and checks every answer by its own table, connects to the checked address with the host's name in TLS
and Host, follows no redirect, ignores proxies and netrc from the environment, keeps no cookies, and caps bytes,
inflated bytes and total time.
"""

import http.client
import io
import ipaddress
import json
import re
import socket
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus, urlencode, urlsplit, urlunsplit

import orjson
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from connectors.sdk.addresses import Address, Network, is_allowed, is_public
from connectors.sdk.errors import ConfigError, EgressError, TooLargeError, UnavailableError, VendorDataError

Resolver = Callable[[str, int], list[str]]
KEPT_BODY = 4096
_KEPT_HEADERS = {
    "content-type", "content-length", "date", "etag", "retry-after", "link", "next-page", "x-request-id",
    "total-records", "total-objects", "x-ratelimit-remaining", "x-ratelimit-reset",
}  # fmt: skip
_SECRET_NAME = re.compile(r"(?i)(authorization|cookie|token|secret|password|api[-_]?key|signature|code|verifier)")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_REMEMBER_SECONDS = 30.0
_DEPTH = 254


class _Timed(io.RawIOBase):
    """Reads from a socket until a deadline: a byte now and then does not keep an answer alive."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, share: float) -> None:
        self._raw, self._sock, self._pause = raw, sock, sock.gettimeout() or 0.0
        self._ends = time.monotonic() + share * self._pause

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("The answer takes too long.")
        self._sock.settimeout(min(left, self._pause))
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(self._pause)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    # How often the longest silence an answer may last in all.
    share = 2.0

    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, self.share))


class _Plain(HTTPConnection):
    response_class = _Answer


class _Secure(HTTPSConnection):
    response_class = _Answer


class _TotalAnswer(_Answer):
    share = 1.0


class _TotalPlain(HTTPConnection):
    response_class = _TotalAnswer


class _TotalSecure(HTTPSConnection):
    response_class = _TotalAnswer


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host name by the machine's resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, for support. What it shows is redacted, when it is asked for: few are ever kept."""

    at: datetime
    method: str
    url: str
    status: int | None
    ms: float
    error: str | None
    _sent: Mapping[str, str] = field(repr=False)
    _received: Mapping[str, str] = field(repr=False)
    _bodies: tuple[bytes, bytes] = field(repr=False)
    _secrets: Collection[str] = field(repr=False)

    @property
    def request_headers(self) -> dict[str, str]:
        """What was sent."""
        return {
            name: "[redacted]" if _SECRET_NAME.search(name) else _clean(value, self._secrets)
            for name, value in self._sent.items()
        }

    @property
    def response_headers(self) -> dict[str, str]:
        """What came back, of the headers that help."""
        return {n: _clean(value, self._secrets) for n, value in self._received.items() if n in _KEPT_HEADERS}

    @property
    def request_body(self) -> str:
        """The start of what was sent."""
        return _excerpt(self._bodies[0], self._secrets)

    @property
    def response_body(self) -> str:
        """The start of what came back."""
        return _excerpt(self._bodies[1], self._secrets)


@dataclass(frozen=True)
class Response:
    """An answer, read to its end within the limits. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    def json(self) -> Any:
        """Return the body as JSON; VendorDataError when it is none, holds NaN or a key twice, or nests too deep."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            kind = self.headers.get("content-type", "no content type")
            raise VendorDataError(
                f"{self.url} answered {self.status} with a body that is not JSON ({kind})."
            ) from error
        try:
            # Writing it again is the fastest way to know the depth: orjson refuses more than 254 levels.
            again = orjson.dumps(value)
        except TypeError:
            raise VendorDataError(f"{self.url} answered with JSON nested deeper than {_DEPTH}.") from None
        # A key that stood twice is gone from it, and its quotes with it. Counting them may suspect too much, and is only
        # done where the length differs: this is the hot path.
        shorter = len(again) != len(self.body) and self.body.count(b'"') > again.count(b'"')
        if shorter and (twice := _key_twice(self.body)):
            raise VendorDataError(f"{self.url} answered with JSON that has the key {twice[:80]!r} twice.")
        return value


def _key_twice(body: bytes) -> str | None:
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            found.extend(name for name in names if names.count(name) > 1)

    with suppress(ValueError, RecursionError):
        json.loads(body, object_pairs_hook=look)
    return found[0] if found else None


@dataclass
class HttpClient:
    """Calls the hosts it was made for, and no others. Not shared between threads that call at the same time.

    `total`: connecting, sending and the whole answer take `timeout` at most, and what is beyond `max_bytes` of the
    answer is left unread, as it came, instead of refused: for whom its status is all that matters.
    """

    hosts: Collection[str]
    allow: Collection[Network] = ()
    guard: Callable[[], None] | None = None
    on_exchange: Callable[[Exchange], None] | None = None
    limiter: Callable[[str], None] | None = None
    resolver: Resolver = resolve
    timeout: float = 15.0
    max_bytes: int = 10 * 1024 * 1024
    max_inflated: int = 20 * 1024 * 1024
    total: bool = False
    _pools: dict[tuple[str, str, int], tuple[float, urllib3.HTTPConnectionPool]] = field(default_factory=dict)

    def request(
        self, method: str, url: str, *, params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None, json: Any = None, data: Mapping[str, str] | None = None,
        content: bytes | None = None, secrets: Collection[str] = (),
    ) -> Response:  # fmt: skip
        """Send one request and return the answer, whatever its status. `content` is a body that is written already.

        EgressError for an address that may not be reached, UnavailableError for network trouble and timeouts,
        TooLargeError beyond the limits. `secrets` are cut out of everything that is kept or raised.
        """
        if self.guard:
            self.guard()
        target, pool, path = self._open(url, params, _clean(url, secrets)[:200])
        if self.limiter:
            self.limiter(target)
        sent = {"accept": "application/json", "user-agent": "Patchbay", "accept-encoding": "gzip", **(headers or {})}
        for name, value in sent.items():
            if not _HEADER_VALUE.fullmatch(value) or not _HEADER_NAME.fullmatch(name):
                raise ConfigError(f"The header {name!r} holds characters that a header may not have.")
        body = content
        if json is not None:
            body, sent["content-type"] = orjson.dumps(json), "application/json"
        elif data is not None:
            body, sent["content-type"] = urlencode(data).encode(), "application/x-www-form-urlencoded"
        at, began = datetime.now(UTC), time.monotonic()
        shown = _clean(url.split("?")[0] + ("?" + path.split("?", 1)[1] if "?" in path else ""), secrets)
        response, trouble = None, None
        try:
            response = self._send(pool, method, path, body, sent, target)
            return Response(response.status, response.headers, response.body, shown)
        except HTTPError as error:
            trouble = f"{type(error).__name__} at {target}"
            raise UnavailableError(f"{method} {shown}: {trouble}") from None
        except VendorDataError as error:
            trouble = error.message
            raise
        finally:
            if self.on_exchange:
                self.on_exchange(_record(at, began, method, shown, sent, body, response, trouble, secrets))

    def _open(
        self, url: str, params: Mapping[str, Any] | None, shown: str
    ) -> tuple[str, urllib3.HTTPConnectionPool, str]:  # fmt: skip
        if any(ord(character) <= 32 or character == "\\" for character in url):
            raise EgressError(f"{shown!r} holds characters that an address may not have.")
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise EgressError(f"{shown!r} is not an address.") from None
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc:
            raise EgressError(f"{shown!r} is not an https address of the form https://host/path.")
        if not _listed(host, port, parts.scheme, self.hosts):
            raise EgressError(f"{host}:{port} is not one of the hosts this integration may call.")
        query = parts.query
        if params:
            more = urlencode([(key, value) for key, value in params.items() if value is not None], doseq=True)
            query = f"{query}&{more}" if query and more else query or more
        path = urlunsplit(("", "", parts.path or "/", query, ""))
        return host, self._pool(parts.scheme, host, port), path

    def _pool(self, scheme: str, host: str, port: int) -> urllib3.HTTPConnectionPool:
        known = self._pools.get((scheme, host, port))
        if known and time.monotonic() - known[0] < _REMEMBER_SECONDS:
            return known[1]
        address = self._check(scheme, host, port)
        options: dict[str, Any] = {"maxsize": 2, "retries": False, "block": False}
        pool: urllib3.HTTPConnectionPool
        if scheme == "https":
            pool = urllib3.HTTPSConnectionPool(
                str(address), port, server_hostname=host, assert_hostname=host, cert_reqs="CERT_REQUIRED", **options
            )
            pool.ConnectionCls = _TotalSecure if self.total else _Secure
        else:
            pool = urllib3.HTTPConnectionPool(str(address), port, **options)
            pool.ConnectionCls = _TotalPlain if self.total else _Plain
        if known:
            known[1].close()
        self._pools[(scheme, host, port)] = (time.monotonic(), pool)
        return pool

    def _check(self, scheme: str, host: str, port: int) -> Address:
        try:
            answers = [ipaddress.ip_address(text.split("%")[0]) for text in self.resolver(host, port)]
        except (OSError, UnicodeError) as error:
            raise UnavailableError(f"{host} cannot be found ({type(error).__name__}).") from None
        for address in answers:
            private = is_allowed(address, self.allow)
            if not private and not is_public(address):
                raise EgressError(f"{host} leads to {address}, which may not be reached.")
            if scheme == "http" and not private:
                raise EgressError(f"{host} must be called by https.")
        if not answers:
            raise UnavailableError(f"{host} has no address.")
        return answers[0]

    def _send(
        self, pool: urllib3.HTTPConnectionPool, method: str, path: str, body: bytes | None,
        headers: dict[str, str], host: str,
    ) -> Response:  # fmt: skip
        host = f"[{host}]" if ":" in host else host
        if pool.port not in (80, 443):
            host = f"{host}:{pool.port}"
        answer = pool.urlopen(
            method, path, body=body, headers={**headers, "host": host}, redirect=False, preload_content=False,
            decode_content=False, timeout=self._limits(), retries=False,
        )  # fmt: skip
        try:
            content = self._read_start(answer) if self.total else self._read(answer)
        except BaseException:
            answer.close()
            raise
        answer.release_conn()
        return Response(answer.status, {name.lower(): value for name, value in answer.headers.items()}, content)

    def _limits(self) -> urllib3.Timeout:
        if self.total:
            return urllib3.Timeout(total=self.timeout, connect=min(3.0, self.timeout), read=self.timeout)
        return urllib3.Timeout(connect=5.0, read=self.timeout)

    def _read_start(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        content = b""
        for chunk in answer.stream(8192, decode_content=False):
            content += chunk
            if len(content) >= self.max_bytes:
                answer.close()
                break
        return content[: self.max_bytes]

    def _read(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        encoding = answer.headers.get("content-encoding", "").lower()
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
        if encoding not in ("", "gzip", "identity"):
            raise VendorDataError(f"The answer is encoded as {encoding}, which was not asked for.")
        taken, inflated, chunks = 0, 0, []
        for chunk in answer.stream(65536, decode_content=False):
            taken += len(chunk)
            if inflate:
                try:
                    chunk = inflate.decompress(chunk, self.max_inflated - inflated + 1)
                except zlib.error:
                    raise VendorDataError("The answer is damaged: its compression cannot be undone.") from None
            inflated += len(chunk)
            if taken > self.max_bytes or inflated > self.max_inflated:
                raise TooLargeError(
                    f"The answer is larger than {self.max_bytes:,} bytes ({self.max_inflated:,} inflated)."
                )
            chunks.append(chunk)
        if inflate and taken and (not inflate.eof or inflate.unused_data):
            raise VendorDataError("The answer is damaged: its compression does not end where it does.")
        return b"".join(chunks)

    def close(self) -> None:
        """Close all connections."""
        for _, pool in self._pools.values():
            pool.close()
        self._pools.clear()


def _listed(host: str, port: int, scheme: str, hosts: Collection[str]) -> bool:
    origin = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    return (host.lower() in hosts and port in (443, 80)) or origin.lower() in hosts


def _clean(text: str, secrets: Collection[str]) -> str:
    for secret in secrets:
        if len(secret) > 3:
            for written in (secret, quote(secret, safe=""), quote_plus(secret)):
                text = text.replace(written, "[redacted]")
    return re.sub(
        r"(?i)((?:^|[?&\"])(?:[a-z_-]*(?:token|secret|password|api_?key|signature|code|verifier)[a-z_-]*)\"?\s*[=:]\s*\"?)[^&\"\s,}]+",
        r"\1[redacted]",
        text,
    )


def _excerpt(body: bytes, secrets: Collection[str]) -> str:
    # Cleaned before it is cut, so that no secret is cut in two and half of it kept.
    return _clean(body[: 2 * KEPT_BODY].decode("utf-8", "replace"), secrets)[:KEPT_BODY]


def _record(
    at: datetime, began: float, method: str, url: str, sent: Mapping[str, str], body: bytes | None,
    response: Response | None, trouble: str | None, secrets: Collection[str],
) -> Exchange:  # fmt: skip
    answer = response.body[: 2 * KEPT_BODY] if response else b""
    return Exchange(
        at, method, url, response.status if response else None, (time.monotonic() - began) * 1000, trouble,
        sent, response.headers if response else {}, ((body or b"")[: 2 * KEPT_BODY], answer), secrets,
    )  # fmt: skip
