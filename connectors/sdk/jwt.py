"""Tokens we sign ourselves: RS256 for service accounts (RFC 7523), short-lived HS256 from `id:secret` keys."""

import binascii
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, RSAKey

from connectors.sdk.errors import AuthError
from connectors.sdk.expressions import fill
from connectors.sdk.http import HttpClient
from connectors.sdk.oauth import TokenSet, address, answer_of, token_set
from connectors.sdk.schema.auth import Auth, Jwt
from connectors.sdk.secret import Secret

_PEM = re.compile(r"-----BEGIN ([A-Z ]{1,40})-----([A-Za-z0-9+/=\s]+)-----END \1-----")
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def sign(spec: Jwt, key: Secret, *, names: Mapping[str, Any], at: datetime) -> str:
    """Return a signed token; AuthError when the key is not of the declared form."""
    header, signing, more = _key(spec, key.reveal())
    known = {**names, "key": more}
    issued = int(at.timestamp())
    claims: dict[str, Any] = {"iat": issued - spec.backdate_seconds, "exp": issued + spec.lifetime_seconds}
    parts = {"iss": spec.issuer, "sub": spec.subject, "aud": spec.audience, "scope": spec.scope}
    claims |= {name: fill(template, known) for name, template in parts.items() if template}
    try:
        return jwt.encode(header, claims, signing, algorithms=[header["alg"]])
    except JoseError as error:
        raise _bad_key() from error


def obtain(http: HttpClient, auth: Auth, key: Secret, *, names: Mapping[str, Any], at: datetime) -> TokenSet:
    """Return a token: the signed one itself, or what the vendor gives for it."""
    assert auth.jwt is not None
    signed = sign(auth.jwt, key, names=names, at=at)
    ends = at + timedelta(seconds=auth.jwt.lifetime_seconds)
    if not auth.jwt.exchange:
        return TokenSet(Secret(signed), None, ends)
    hidden = (signed, key.reveal())
    if auth.jwt.sent == "bearer":
        headers = {"authorization": f"Bearer {signed}"}
        answer = http.request("POST", address(auth.token_url, names), headers=headers, json={}, secrets=hidden)
        return token_set(auth, answer_of(answer), at)
    body = {"grant_type": _GRANT, "assertion": signed, **{k: str(fill(v, names)) for k, v in auth.token_params.items()}}
    answer = http.request("POST", address(auth.token_url, names), data=body, secrets=hidden)
    return token_set(auth, answer_of(answer), at)


def _key(spec: Jwt, text: str) -> tuple[dict[str, str], OctKey | RSAKey, dict[str, Any]]:
    try:
        if spec.key_format == "id_secret":
            name, secret = text.strip().split(":", 1)
            return (
                {"alg": "HS256", "typ": "JWT", "kid": name},
                OctKey.import_key(binascii.unhexlify(secret)),
                {"id": name},
            )
        more = orjson.loads(text) if spec.key_format == "service_account" else {}
        pem = more.get("private_key", "") if more else text
        header = {"alg": "RS256", "typ": "JWT"} | (
            {"kid": more["private_key_id"]} if more.get("private_key_id") else {}
        )
        shown = {name: value for name, value in more.items() if isinstance(value, str) and name != "private_key"}
        return header, RSAKey.import_key(_pem(pem)), shown
    except (ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
        raise _bad_key() from error


def _pem(text: str) -> str:
    """Return a key with its line ends: a password field of a browser takes them out of what is pasted."""
    found = _PEM.fullmatch(text.strip())
    if found is None:
        return text
    body = "".join(found[2].split())
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {found[1]}-----", *lines, f"-----END {found[1]}-----", ""])


def _bad_key() -> AuthError:
    return AuthError(
        "The key is not of the declared form.", code="key_wrong", user_message="The key cannot be read.",
        fix="Copy it again, whole, from the other side.",
    )  # fmt: skip
