"""The ways to authorise: sign in with GitHub (PKCE, its refusals under status 200), or a personal access token."""

from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from connectors.registry import get
from connectors.sdk import AuthError, HttpClient, Secret
from connectors.sdk.auth import authorise
from connectors.sdk.oauth import OAuthClient, TokenSet, authorize_url, exchange_code, refresh
from tests.connectors.github.local import NOW
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
    assert fields == [[], ["token"]]
