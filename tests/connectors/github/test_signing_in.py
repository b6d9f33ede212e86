"""The ways to authorise: sign in with GitHub (PKCE, its refusals under status 200), or a personal access token."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from connectors.registry import get
from connectors.sdk import AuthError, HttpClient, Pace, Secret, Session
from connectors.sdk.auth import authorise
from connectors.sdk.jwt import obtain
from connectors.sdk.oauth import OAuthClient, TokenSet, authorize_url, exchange_code, refresh, revoke
from connectors.sdk.schema.operations import Limits
from tests.connectors.github.local import NOW, LocalConnector
from tests.connectors.sdk.servers import ALLOW, Answer, Call, Vendor

CLIENT = OAuthClient("Iv1.test", Secret("client-secret-of-nobody"))


def exchange(answer: Answer) -> tuple[TokenSet | Exception, Call]:
    """Return what becomes of a code that GitHub answers so."""
    vendor = Vendor(lambda _call: answer)
    try:
        auth = get("github").manifest.auth.model_copy(update={"token_url": f"{vendor.origin}/login/oauth/access_token"})
        http = HttpClient(hosts=[vendor.origin], allow=ALLOW)
        found: Any = exchange_code(
            http, auth, CLIENT, code="c0de", redirect_uri="https://p.test/cb", verifier="v" * 43, names={}, at=NOW
        )
    except AuthError as error:
        found = error
    finally:
        vendor.stop()
    return found, vendor.calls[0]


def test_people_are_sent_to_github() -> None:
    auth = get("github").manifest.auth
    url = urlsplit(authorize_url(auth, "Iv1.test", "https://p.test/cb", state="s1", verifier="v" * 43, names={}))
    query = parse_qs(url.query)
    assert (url.netloc, url.path) == ("github.com", "/login/oauth/authorize")
    assert query["scope"] == ["repo"]
    assert (query["state"], query["code_challenge_method"]) == (["s1"], ["S256"])


def test_a_code_becomes_a_token_without_end() -> None:
    tokens, call = exchange((200, {}, {"access_token": "gho-test", "scope": "repo,gist", "token_type": "bearer"}))
    assert isinstance(tokens, TokenSet)
    assert (tokens.access_token.reveal(), tokens.expires_at, tokens.scopes) == ("gho-test", None, ("repo", "gist"))
    sent = dict(parse_qsl(call.body.decode()))
    assert (sent["code"], sent["code_verifier"], sent["client_id"]) == ("c0de", "v" * 43, "Iv1.test")
    # Else GitHub answers in another form than JSON.
    assert call.headers["accept"] == "application/json"


@pytest.mark.parametrize("name", ["bad_verification_code", "incorrect_client_credentials", "bad_refresh_token"])
def test_a_refusal_under_status_200_is_one(name: str) -> None:
    found, _ = exchange((200, {}, {"error": name, "error_description": "The code passed is incorrect or expired."}))
    assert isinstance(found, AuthError)
    assert name in found.message


def test_a_refresh_that_github_refuses_ends_the_grant() -> None:
    vendor = Vendor(lambda _call: (200, {}, {"error": "bad_refresh_token"}))
    auth = get("github").manifest.auth.model_copy(update={"token_url": f"{vendor.origin}/token"})
    try:
        with pytest.raises(AuthError):
            refresh(HttpClient(hosts=[vendor.origin], allow=ALLOW), auth, CLIENT, Secret("ghr-test"), names={}, at=NOW)
    finally:
        vendor.stop()


def test_each_way_sends_a_bearer_token() -> None:
    manifest = get("github").manifest
    for settings, name in (({}, "access_token"), ({"auth": "token"}, "token")):
        headers, query, secrets = authorise(manifest.auth_for(settings), settings, {name: Secret("t0ken")})
        assert (headers, query, secrets) == ({"authorization": "Bearer t0ken"}, {}, ("t0ken",))
    fields = [[field.name for field in manifest.config_for(auth, "connect")] for auth in manifest.auths()]
    assert fields == [[], ["token"], ["app_id", "installation_id", "app_key"]]


def test_an_app_asks_for_a_token_of_its_installation() -> None:
    """The JWT goes as a bearer token, a minute backdated; the answer names the token and the time it ends."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    vendor = Vendor(lambda _call: (201, {}, {"token": "ghs-test", "expires_at": "2026-11-24T10:30:00Z"}))
    auth = get("github").manifest.auth_for({"auth": "app"})
    auth = auth.model_copy(update={"token_url": str(auth.token_url).replace("https://api.github.com", vendor.origin)})
    names = {"config": {"app_id": "12", "installation_id": "345"}}
    try:
        tokens = obtain(HttpClient(hosts=[vendor.origin], allow=ALLOW), auth, Secret(pem), names=names, at=NOW)
    finally:
        vendor.stop()
    assert (tokens.access_token.reveal(), tokens.expires_at) == ("ghs-test", datetime(2026, 11, 24, 10, 30, tzinfo=UTC))
    call = vendor.calls[0]
    assert (call.method, call.path) == ("POST", "/app/installations/345/access_tokens")
    claims = jwt.decode(call.headers["authorization"].removeprefix("Bearer "), RSAKey.import_key(pem)).claims
    at = int(NOW.timestamp())
    assert claims == {"iss": "12", "iat": at - 60, "exp": at + 540}


def test_the_account_of_an_app_is_its_installation() -> None:
    answer = {"total_count": 1, "repositories": [{"owner": {"login": "octo-org"}}]}
    vendor = Vendor(lambda call: (200, {}, answer) if call.path == "/installation/repositories" else (403, {}, {}))
    connector = LocalConnector(vendor.origin)
    settings = {"auth": "app", "app_id": "12", "installation_id": "345"}
    http = HttpClient(hosts=[vendor.origin], allow=ALLOW)
    try:
        account = connector.check(Session(settings, {"access_token": Secret("ghs-test")}, http, Pace(Limits())))
    finally:
        vendor.stop()
    assert (account.id, account.name) == ("installation-345", "octo-org")


def test_a_sign_in_is_given_back_as_github_wants_it() -> None:
    vendor = Vendor(lambda _call: (204, {}, b""))
    auth = get("github").manifest.auth
    auth = auth.model_copy(update={"revoke_url": str(auth.revoke_url).replace("https://api.github.com", vendor.origin)})
    try:
        token = auth.token_to_revoke(None, Secret("gho-test"))
        assert revoke(HttpClient(hosts=[vendor.origin], allow=ALLOW), auth, CLIENT, token, names={})
    finally:
        vendor.stop()
    call = vendor.calls[0]
    assert (call.method, call.path) == ("DELETE", "/applications/Iv1.test/grant")
    assert orjson.loads(call.body) == {"access_token": "gho-test"}
    assert call.headers["authorization"].startswith("Basic ")
