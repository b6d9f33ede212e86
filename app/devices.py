"""Whose tries are counted together: those of an address, or of a browser that has signed in to the account before.

A browser gets a signed cookie when somebody signs in with it. The cookie opens nothing; it only takes its tries out of
the count of the address they come from, so that a stranger who guesses passwords locks nobody out but themselves.
"""

import hashlib
import ipaddress
import secrets
from typing import Any

from flask import current_app, request
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.wrappers import Response

from app.config import Settings

_ACCOUNTS = 5
_YEAR = 31_536_000


def address() -> str:
    """Return where the request comes from; of IPv6 the network, which one subscriber has as a whole."""
    raw = request.remote_addr or "unknown"
    try:
        found = ipaddress.ip_address(raw)
    except ValueError:
        return raw
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else raw


def source() -> str:
    """Return the browser when it is known for the account of the form, else the address."""
    known = _read()
    return f"device:{known['id']}" if known and _mark(_email()) in known["accounts"] else address()


def source_and_account() -> str:
    """Return the same together with the account of the form."""
    return f"{source()}|{_mark(_email())}"


def remember(response: Response, email: str) -> None:
    """Make the browser known for an account."""
    settings: Settings = current_app.extensions["settings"]
    known = _read() or {"id": secrets.token_urlsafe(12), "accounts": []}
    mark = _mark(email)
    known["accounts"] = [mark, *(other for other in known["accounts"] if other != mark)][:_ACCOUNTS]
    response.set_cookie(
        _name(settings), _signer().dumps(known), max_age=_YEAR, secure=settings.secure, httponly=True, samesite="Lax",
        path="/",
    )  # fmt: skip


def _name(settings: Settings) -> str:
    return "__Host-patchbay-device" if settings.secure else "patchbay-device"


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="patchbay.device")


def _read() -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = _signer().loads(request.cookies.get(_name(current_app.extensions["settings"]), ""))
    except BadSignature:
        return None
    return found


def _email() -> str:
    return request.form.get("email", "")


def _mark(email: str) -> str:
    return hashlib.sha256(email.strip().lower()[:200].encode()).hexdigest()[:24]
