"""Authorising a call: the only place where a credential meets a request."""

import base64
from collections.abc import Mapping
from typing import Any

from connectors.sdk.errors import AuthError
from connectors.sdk.manifest import Auth
from connectors.sdk.secret import Secret


def basic_header(user: str, password: str) -> str:
    """Return the value of a Basic Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def authorise(
    auth: Auth, settings: Mapping[str, Any], credentials: Mapping[str, Secret]
) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    """Return (headers, query, values to redact) for a call. AuthError when the credential is not there."""
    if auth.kind == "none":
        return {}, {}, ()
    name = {"basic": auth.password, "oauth2": "access_token"}.get(auth.kind, auth.field)
    secret = credentials.get(name or "")
    if not secret:
        raise AuthError("There is no credential for this connection.")
    value = secret.reveal()
    if auth.kind == "basic":
        header = basic_header(str(settings.get(auth.username or "", "")), value)
        return {"authorization": header}, {}, (value, header.split(" ", 1)[1])
    if auth.kind in ("oauth2", "bearer"):
        return {"authorization": f"Bearer {value}"}, {}, (value,)
    if auth.place == "query":
        return {}, {auth.parameter: value}, (value,)
    return {auth.parameter.lower(): f"{auth.prefix}{value}"}, {}, (value,)
