"""Webhooks in: the one address that vendors call. Closed by default; what is refused always looks the same."""

import time

from flask import Blueprint, Response, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app import log
from app.access import public
from app.extensions import csrf, settings
from app.services import deliveries
from app.services.deliveries import Answer
from app.transaction import StoreDownError, durable
from connectors.sdk.webhooks import Delivery

blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")
LARGEST = 1024 * 1024
# A sender that drips its body holds a thread: so long it may take, and so long one wait.
_SECONDS, _WAIT = 15.0, 5.0
_DOWN = Answer(503, "Not available at the moment.\n", (("Retry-After", "30"),))
_logger = log.logger(__name__)


@blueprint.route("/<address>", methods=["GET", "POST"])
@csrf.exempt
@public
def receive(address: str) -> Response:
    try:
        body = _read_body()
    except RequestEntityTooLarge:
        return _response(Answer(413, "Too large.\n", (("Connection", "close"),)))
    except (ClientDisconnected, OSError):
        return _response(Answer(400, "Not complete.\n", (("Connection", "close"),)))
    try:
        with durable():
            answer = deliveries.receive(address[:100], _delivery(body))
    except StoreDownError as error:
        # Nothing was stored, so it must come again: never a 2xx without a row.
        _logger.warning("webhook not stored", error=str(error))
        answer = _DOWN
    return _response(answer)


def _delivery(body: bytes) -> Delivery:
    # As it was sent, not as Flask has decoded it: some vendors sign the address.
    path = str(request.environ.get("RAW_URI") or request.path).partition("?")[0]
    query = request.query_string.decode("latin-1")
    target = f"{path}?{query}" if query else path
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Delivery(request.method, settings().base_url + target, headers, body)


def _read_body() -> bytes:
    """Return the body, byte for byte; RequestEntityTooLarge above 1 MB, however it is sent."""
    if (request.content_length or 0) > LARGEST:
        raise RequestEntityTooLarge
    wire, ends = request.environ.get("gunicorn.socket"), time.monotonic() + _SECONDS
    parts, size = [], 0
    if wire is not None:
        wire.settimeout(_WAIT)
    try:
        while part := request.stream.read(64 * 1024):
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


def _response(answer: Answer) -> Response:
    response = Response(answer.text, answer.status, content_type="text/plain; charset=utf-8")
    response.headers.update(answer.headers)
    return response
