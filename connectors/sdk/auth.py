"""Authorising a call: the only place where a credential meets a request."""

import base64
from collections.abc import Mapping
from typing import Any

from connectors.sdk.errors import AuthError
from connectors.sdk.schema.auth import Auth
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
    if auth.kind == "keys":
        return _keys(auth, credentials)
    name = "access_token" if auth.has_token else auth.password if auth.kind == "basic" else auth.field
    value = _value(credentials, name)
    if auth.kind == "basic":
        user = value if auth.user_is_key else str(settings.get(auth.username or "", ""))
        header = basic_header(user, "" if auth.user_is_key else value)
        return {"authorization": header}, {}, (value, header.split(" ", 1)[1])
    if auth.place == "query":
        return {}, {auth.parameter: value}, (value,)
    token = auth.has_token or auth.kind == "bearer"
    prefix = auth.prefix or ("Bearer " if token and auth.parameter == "Authorization" else "")
    return {auth.parameter.lower(): f"{prefix}{value}"}, {}, (value,)


def _keys(auth: Auth, credentials: Mapping[str, Secret]) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    for key in auth.keys:
        value = _value(credentials, key.field)
        if key.place == "query":
            query[key.parameter] = value
        else:
            headers[key.parameter.lower()] = f"{key.prefix}{value}"
    return headers, query, tuple(_value(credentials, key.field) for key in auth.keys)


def _value(credentials: Mapping[str, Secret], name: str | None) -> str:
    secret = credentials.get(name or "")
    if not secret:
        raise AuthError("There is no credential for this connection.")
    return secret.reveal()
