"""Webhooks in: the one address that vendors call, in front of everything that serves people.

Sessions, CSRF, throttling and pages are nothing to a vendor, and together they cost as much as storing the request; so
this is a WSGI application of its own, and Flask sees none of it. Closed by default; what is refused looks always the same.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from app import log
from app.extensions import bell, direct, settings
from app.services import deliveries, inbox
from app.services.deliveries import Answer, Received
from app.tenancy import bind_tenant
from app.transaction import StoreDownError, durable
from connectors.sdk.webhooks import Delivery

PATH = "/hooks/"
LARGEST = 1024 * 1024
# A sender that drips its body holds a thread: so long it may take, and so long one wait.
_SECONDS, _WAIT = 15.0, 5.0
_LOST = (("Connection", "close"),)
_DOWN = Answer(503, "Not available at the moment.\n", (("Retry-After", "30"),))
_WORDS = {
    200: "200 OK", 400: "400 Bad Request", 401: "401 Unauthorized", 405: "405 Method Not Allowed",
    413: "413 Content Too Large", 500: "500 Internal Server Error", 503: "503 Service Unavailable",
}  # fmt: skip
_logger = log.logger(__name__)
Environ = dict[str, Any]
Start = Callable[..., Any]


class Hooks:
    """Answers what is below /hooks/, and hands all else on."""

    def __init__(self, flask_app: Flask) -> None:
        self._app, self._behind = flask_app, flask_app.wsgi_app

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer one request."""
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PATH):
            return self._behind(environ, start)
        with self._app.app_context():
            try:
                answer = _answer(environ, path[len(PATH) : len(PATH) + 100])
            except Exception as error:  # The edge of the process: nothing of it is told.
                _logger.error("webhook failed", exc_info=error)
                answer = Answer(500, "Something went wrong here.\n")
        body = answer.text.encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))),
            ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"), *answer.headers,
        ]  # fmt: skip
        start(_WORDS[answer.status], headers)
        return [body]


def _answer(environ: Environ, address: str) -> Answer:
    if environ["REQUEST_METHOD"] not in ("GET", "POST"):
        return Answer(405, "Not accepted.\n", (("Allow", "GET, POST"),))
    try:
        body = _read_body(environ)
    except RequestEntityTooLarge:
        return Answer(413, "Too large.\n", _LOST)
    except (ClientDisconnected, OSError):
        return Answer(400, "Not complete.\n", _LOST)
    try:
        with direct().unit() as sql:
            received = deliveries.receive(sql, address, _delivery(environ, body))
        _finish(received)
    except StoreDownError as error:
        # Nothing was stored, so it must come again: never a 2xx without a row.
        _logger.warning("webhook not stored", error=str(error))
        return _DOWN
    return received.answer


def _finish(received: Received) -> None:
    """What comes after the row is on disk: the bell, the count of copies, a secret that was brought."""
    if received.wakes:
        bell().ring("fast")
    for copy in received.copies:
        with direct().unit() as sql:
            inbox.note_copy(sql, copy)
    if received.brought and received.door:
        with bind_tenant(received.door.tenant_id), durable():
            deliveries.keep_brought(received.door, received.brought)


def _delivery(environ: Environ, body: bytes) -> Delivery:
    # The address as it was sent, not decoded: some vendors sign it.
    path = str(environ.get("RAW_URI") or environ["PATH_INFO"]).partition("?")[0]
    query = environ.get("QUERY_STRING")
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    for name in ("content-type", "content-length"):
        value = environ.get(name.replace("-", "_").upper())
        if value:
            headers[name] = value
    return Delivery(
        environ["REQUEST_METHOD"], settings().base_url + (f"{path}?{query}" if query else path), headers, body
    )


def _read_body(environ: Environ) -> bytes:
    """Return the body, byte for byte; RequestEntityTooLarge above 1 MB, however it is sent."""
    stream, wire = get_input_stream(environ, max_content_length=LARGEST), environ.get("gunicorn.socket")
    parts, size, ends = list[bytes](), 0, time.monotonic() + _SECONDS
    if wire is not None:
        wire.settimeout(_WAIT)
    try:
        while part := stream.read(64 * 1024):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise RequestEntityTooLarge
            if time.monotonic() > ends:
                raise ClientDisconnected
    finally:
        if wire is not None:
            wire.settimeout(None)
    return b"".join(parts)


def register(flask_app: Flask) -> None:
    """Put it in front of the application."""
    flask_app.wsgi_app = Hooks(flask_app)  # type: ignore[method-assign,assignment]  # any WSGI application will do
