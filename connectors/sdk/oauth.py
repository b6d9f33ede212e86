"""OAuth 2.0: the address to send people to, exchange of a code, refresh and revocation.

RFC 6749, RFC 7636 (PKCE, S256), RFC 7009 (revocation). Authlib builds the URL and the challenge; every call goes
through the egress guard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from connectors.sdk.auth import basic_header
from connectors.sdk.errors import AuthError, ConnectorError, RateLimitedError, UnavailableError, VendorDataError
from connectors.sdk.expressions import fill, look_up
from connectors.sdk.http import HttpClient, Response
from connectors.sdk.manifest import Auth
from connectors.sdk.secret import Secret

# Only these end a grant (RFC 6749, section 5.2); all else may pass by itself.
_TERMINAL = {"invalid_grant", "invalid_client", "unauthorized_client"}


@dataclass(frozen=True)
class OAuthClient:
    """The host's application at the vendor."""

    id: str
    secret: Secret


@dataclass(frozen=True)
class TokenSet:
    """What a token answer holds; `kept` are the values the manifest asks to keep."""

    access_token: Secret
    refresh_token: Secret | None
    expires_at: datetime | None
    scopes: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)


def authorize_url(
    auth: Auth, client_id: str, redirect_uri: str, *, state: str, verifier: str, names: Mapping[str, Any]
) -> str:
    """Return the address of the vendor's consent page; `names` fills places such as {origin}."""
    params = [
        ("response_type", "code"), ("client_id", client_id), ("redirect_uri", redirect_uri), ("state", state),
        ("scope", auth.scope_separator.join(scope.name for scope in auth.scopes)),
    ]  # fmt: skip
    if auth.pkce:
        params += [("code_challenge", create_s256_code_challenge(verifier)), ("code_challenge_method", "S256")]
    return str(add_params_to_uri(fill(auth.authorize_url, names), params))


def exchange_code(
    http: HttpClient, auth: Auth, client: OAuthClient, *, code: str, redirect_uri: str, verifier: str,
    names: Mapping[str, Any], at: datetime,
) -> TokenSet:  # fmt: skip
    """Exchange a code for tokens; AuthError when the vendor refuses it."""
    body = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    if auth.pkce:
        body["code_verifier"] = verifier
    return _token(http, auth, client, body, names, at, (code, verifier))


def refresh(
    http: HttpClient, auth: Auth, client: OAuthClient, token: Secret, *, names: Mapping[str, Any], at: datetime
) -> TokenSet:
    """Return fresh tokens; AuthError only when the grant is gone, transient errors otherwise."""
    body = {"grant_type": "refresh_token", "refresh_token": token.reveal()}
    return _token(http, auth, client, body, names, at, (token.reveal(),))


def revoke(http: HttpClient, auth: Auth, client: OAuthClient, token: Secret, *, names: Mapping[str, Any]) -> None:
    """Give a token back (RFC 7009); a vendor without an address for it is left alone."""
    if auth.revoke_url:
        answer = _post(http, auth, client, fill(auth.revoke_url, names), {"token": token.reveal()}, (token.reveal(),))
        if answer.status >= 500 or answer.status == 429:
            raise UnavailableError(f"Revocation answered {answer.status}.")


def _post(
    http: HttpClient, auth: Auth, client: OAuthClient, url: str, body: dict[str, str], secrets: tuple[str, ...]
) -> Response:
    headers = {}
    if auth.client_auth == "basic":
        headers["authorization"] = basic_header(client.id, client.secret.reveal())
    else:
        body = {**body, "client_id": client.id, "client_secret": client.secret.reveal()}
    return http.request("POST", url, headers=headers, data=body, secrets=(*secrets, client.secret.reveal()))


def _token(
    http: HttpClient, auth: Auth, client: OAuthClient, body: dict[str, str], names: Mapping[str, Any],
    at: datetime, secrets: tuple[str, ...],
) -> TokenSet:  # fmt: skip
    response = _post(http, auth, client, fill(auth.token_url, names), body, secrets)
    data = _answer(response)
    if not isinstance(data.get("access_token"), str):
        raise VendorDataError("The token answer holds no access token.")
    lifetime = data.get("expires_in")
    kept_token = data.get("refresh_token") or body.get("refresh_token")
    return TokenSet(
        access_token=Secret(data["access_token"]),
        refresh_token=Secret(kept_token) if kept_token else None,
        expires_at=at + timedelta(seconds=float(lifetime)) if isinstance(lifetime, int | float) else None,
        scopes=tuple(str(data.get("scope") or "").replace(",", " ").split()),
        kept={path: look_up(data, path) for path in auth.keep},
    )


def _answer(response: Response) -> dict[str, Any]:
    if response.status == 429:
        raise RateLimitedError("The token endpoint asks to slow down.", retry_after=60)
    if response.status >= 500:
        raise UnavailableError(f"The token endpoint answered {response.status}.")
    try:
        data = response.json()
    except VendorDataError as error:
        raise UnavailableError(f"The token endpoint answered {response.status} without JSON.") from error
    if not isinstance(data, dict):
        raise UnavailableError("The token endpoint answered something else than an object.")
    if response.status >= 400:
        _refuse(str(data.get("error") or response.status))
    return data


def _refuse(error: str) -> None:
    if error in _TERMINAL:
        raise AuthError(f"The token endpoint refused: {error}.")
    raise ConnectorError(f"The token endpoint refused: {error}.", code="token_refused")
