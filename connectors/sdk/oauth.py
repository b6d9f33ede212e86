"""OAuth 2.0: the address to send people to, exchange of a code, refresh and revocation.

RFC 6749, RFC 7636 (PKCE, S256), RFC 7009 (revocation). Authlib builds the URL and the challenge; every call goes
through the egress guard.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from connectors.sdk import cursors
from connectors.sdk.auth import basic_header
from connectors.sdk.errors import AuthError, ConnectorError, RateLimitedError, UnavailableError, VendorDataError
from connectors.sdk.expressions import fill, fill_path, look_up
from connectors.sdk.http import HttpClient, Response
from connectors.sdk.schema.auth import Auth
from connectors.sdk.schema.streams import Incremental
from connectors.sdk.secret import Secret

# Only these end a grant (RFC 6749, section 5.2); all else may pass by itself.
_TERMINAL = {
    "invalid_grant", "invalid_client", "unauthorized_client",
    # GitHub's own names, https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors
    "bad_verification_code", "bad_refresh_token", "incorrect_client_credentials",
}  # fmt: skip


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


def address(template: str | None, names: Mapping[str, Any]) -> str:
    """Return an address of the sign-in; only the origin decides the host, all else is percent-encoded."""
    return fill_path(str(template).replace("{origin}", str(names.get("origin", ""))), names)


def authorize_url(
    auth: Auth, client_id: str, redirect_uri: str, *, state: str, verifier: str, names: Mapping[str, Any],
    left_out: Collection[str] = (),
) -> str:  # fmt: skip
    """Return the address of the vendor's consent page.

    `names` fills places such as {origin}; `left_out` are optional scopes that the customer does not want to give.
    """
    apart = auth.optional_scope_parameter
    asked = [scope for scope in auth.scopes if not (scope.optional and scope.name in left_out)]
    required = [scope.name for scope in asked if not (apart and scope.optional)]
    params = [
        ("response_type", "code"), ("client_id", client_id), ("redirect_uri", redirect_uri), ("state", state),
        (auth.scope_parameter, auth.scope_separator.join(required)),
    ]  # fmt: skip
    if apart:
        params.append((apart, auth.scope_separator.join(scope.name for scope in asked if scope.optional)))
    params += [(name, str(fill(value, names))) for name, value in auth.authorize_params.items()]
    if auth.pkce:
        params += [("code_challenge", create_s256_code_challenge(verifier)), ("code_challenge_method", "S256")]
    return str(add_params_to_uri(address(auth.authorize_url, names), params))


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
    return _token(http, auth, client, body, names, at, (token.reveal(),), url=auth.refresh_url)


def client_credentials(
    http: HttpClient, auth: Auth, client: OAuthClient, *, names: Mapping[str, Any], at: datetime
) -> TokenSet:
    """Return a token for the application itself (RFC 6749, section 4.4)."""
    body = {"grant_type": "client_credentials"}
    if auth.scopes:
        body[auth.scope_parameter] = auth.scope_separator.join(scope.name for scope in auth.scopes)
    return _token(http, auth, client, body, names, at, ())


def revoke(http: HttpClient, auth: Auth, client: OAuthClient, token: Secret, *, names: Mapping[str, Any]) -> bool:
    """Give a token back (RFC 7009) and return whether the vendor took it; False where it has no address for it."""
    if not auth.revoke_url:
        return False
    value = token.reveal()
    url = address(auth.revoke_url, {**names, "token": value, "client_id": client.id})
    body, way = {auth.revoke_parameter: value}, auth.revoke_client_auth or auth.client_auth
    as_json = auth.revoke_body == "json"
    answer = _post(http, way, client, url, body, (value,), method=auth.revoke_method, as_json=as_json)
    if answer.status >= 500 or answer.status == 429:
        raise UnavailableError(f"Revocation answered {answer.status}.")
    # A token that is not known any more is gone as well.
    return answer.status < 300 or answer.status in (400, 404)


def test_client(http: HttpClient, auth: Auth, client: OAuthClient, *, names: Mapping[str, Any]) -> str:
    """Return `accepted` when the vendor knows the application, else a sentence: it must refuse the code, not the client."""
    body = {"grant_type": "authorization_code", "code": "patchbay-test", "redirect_uri": "https://patchbay.invalid"}
    answer = _post(http, auth.client_auth, client, address(auth.token_url, names), body, ())
    if answer.status >= 500 or answer.status == 429:
        raise UnavailableError(f"The token endpoint answered {answer.status}.")
    try:
        data = answer.json()
    except VendorDataError:
        data = {}
    error = str(look_up(data, "error") or "")
    if error in ("invalid_client", "unauthorized_client") or answer.status == 401:
        return "The vendor does not know this client id and secret."
    return "accepted"


def _post(
    http: HttpClient, way: str, client: OAuthClient, url: str, body: dict[str, str], secrets: tuple[str, ...],
    *, method: str = "POST", as_json: bool = False,
) -> Response:  # fmt: skip
    headers, secret = {}, client.secret.reveal()
    if way == "basic":
        # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        headers["authorization"] = basic_header(quote_plus(client.id), quote_plus(secret))
    else:
        body = {**body, "client_id": client.id} | ({"client_secret": secret} if secret else {})
    hidden = (*secrets, secret, *(value for value in headers.values()))
    if way == "json" or as_json:
        return http.request(method, url, headers=headers, json=body, secrets=hidden)
    return http.request(method, url, headers=headers, data=body, secrets=hidden)


def _token(
    http: HttpClient, auth: Auth, client: OAuthClient, body: dict[str, str], names: Mapping[str, Any],
    at: datetime, secrets: tuple[str, ...], *, url: str | None = None,
) -> TokenSet:  # fmt: skip
    body = body | {name: str(fill(value, names)) for name, value in auth.token_params.items()}
    data = answer_of(_post(http, auth.client_auth, client, address(url or auth.token_url, names), body, secrets))
    return token_set(auth, data, at, body.get("refresh_token"))


def token_set(auth: Auth, data: dict[str, Any], at: datetime, refresh_token: str | None = None) -> TokenSet:
    """Return what a token answer holds; a refresh token that is not sent anew stays."""
    access = look_up(data, auth.token)
    if not isinstance(access, str) or not access:
        raise VendorDataError("The token answer holds no access token.")
    lifetime = data.get("expires_in")
    lifetime = float(lifetime) if isinstance(lifetime, str) and lifetime.isdigit() else lifetime
    kept_token = data.get("refresh_token") or refresh_token
    return TokenSet(
        access_token=Secret(access),
        refresh_token=Secret(kept_token) if kept_token else None,
        expires_at=_ends(auth, data, at, lifetime),
        scopes=_scopes(data.get("scope") or data.get("scopes")),
        kept={path: look_up(data, path) for path in auth.keep},
    )


def _ends(auth: Auth, data: dict[str, Any], at: datetime, lifetime: Any) -> datetime | None:
    if auth.expires_at:
        return cursors.moment(look_up(data, auth.expires_at), Incremental(kind="etag"))
    return at + timedelta(seconds=float(lifetime)) if isinstance(lifetime, int | float) else None


def _scopes(value: Any) -> tuple[str, ...]:
    # RFC 6749 says a text with spaces; some write commas, some a list.
    texts = value if isinstance(value, list) else str(value or "").replace(",", " ").split()
    return tuple(str(text) for text in texts)


def answer_of(response: Response) -> dict[str, Any]:
    """Return the object in a token answer; AuthError when the grant is gone, UnavailableError for what may pass."""
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
    # Some say 200 and put the refusal into the answer.
    if response.status >= 400 or ("access_token" not in data and isinstance(data.get("error"), str)):
        _refuse(str(data.get("error") or response.status))
    return data


def _refuse(error: str) -> None:
    if error in _TERMINAL:
        raise AuthError(f"The token endpoint refused: {error}.")
    raise ConnectorError(f"The token endpoint refused: {error}.", code="token_refused")
