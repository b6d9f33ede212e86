"""Signing in: consent page, token, refresh and giving back, as HubSpot's OAuth document (v3) has them; and private apps."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from connectors import registry
from connectors.sdk import AuthError, HttpClient, Secret, oauth
from connectors.sdk.auth import authorise
from connectors.sdk.oauth import OAuthClient
from tests.connectors.hubspot.documents import Witness, document, hold_against
from tests.connectors.hubspot.sessions import here
from tests.connectors.sdk.servers import ALLOW

CLIENT = OAuthClient("test-client", Secret("test-client-secret"))
AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
BACK = "https://patchbay.example/oauth/cb/hubspot"


def http(origin: str) -> HttpClient:
    """Return a client for the test's own vendor."""
    return HttpClient(hosts=here().hosts({"server": origin}), allow=ALLOW)


def test_the_consent_page_is_asked_for_what_is_needed() -> None:
    auth = registry.get("hubspot").manifest.auth
    left_out = {"crm.objects.deals.write"}
    url = oauth.authorize_url(auth, "test-client", BACK, state="s1", verifier="v" * 43, names={}, left_out=left_out)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith("https://app.hubspot.com/oauth/authorize?")
    assert asked["scope"].split() == [scope.name for scope in auth.scopes if not scope.optional]
    assert asked["optional_scope"].split() == ["crm.objects.contacts.write", "crm.objects.companies.write"]
    assert (asked["state"], asked["redirect_uri"], asked["code_challenge_method"]) == ("s1", BACK, "S256")
    assert not any(name.endswith(".write") for name in asked["scope"].split())


def test_every_call_of_the_sign_in_is_as_documented(witness: Witness, origin: str) -> None:
    openapi = document("hubspot-oauth.json")
    auth, names = here().manifest.auth, {"origin": origin}
    tokens = oauth.exchange_code(
        http(origin), auth, CLIENT, code="c1", redirect_uri=BACK, verifier="v" * 43, names=names, at=AT
    )
    assert tokens.refresh_token is not None
    fresh = oauth.refresh(http(origin), auth, CLIENT, tokens.refresh_token, names=names, at=AT)
    assert oauth.revoke(http(origin), auth, CLIENT, tokens.refresh_token, names=names)
    for call, answer in witness.seen:
        hold_against(openapi, call, answer)
        assert call.query == {}  # Nothing secret in an address.
    paths = [(call.method, call.path) for call, _ in witness.seen]
    assert paths == [("POST", "/oauth/v3/token"), ("POST", "/oauth/v3/token"), ("POST", "/oauth/v3/token/revoke")]
    forms = [dict(parse_qsl(call.body.decode())) for call, _ in witness.seen]
    assert (forms[0]["grant_type"], forms[0]["code_verifier"]) == ("authorization_code", "v" * 43)
    assert {form["client_secret"] for form in forms} == {"test-client-secret"}
    assert fresh.expires_at == AT + timedelta(minutes=30)
    assert dict(fresh.kept) == {"hub_id": 62515}
    assert fresh.scopes == ("oauth", "crm.objects.contacts.read")


def test_a_grant_that_is_gone_asks_to_connect_again(origin: str) -> None:
    with pytest.raises(AuthError):
        oauth.refresh(http(origin), here().manifest.auth, CLIENT, Secret("gone"), names={"origin": origin}, at=AT)


def test_a_private_app_is_a_token_alone() -> None:
    manifest = registry.get("hubspot").manifest
    private = manifest.auth_for({"auth": "private_app"})
    headers, query, _ = authorise(private, {}, {"token": Secret("test-token-of-an-app")})
    assert (headers, query) == ({"authorization": "Bearer test-token-of-an-app"}, {})
    assert [field.name for field in manifest.config_for(private, "connect")] == ["token"]
    assert manifest.config_for(manifest.auth, "connect") == []


def test_every_permission_has_a_reason_of_its_own() -> None:
    scopes = registry.get("hubspot").manifest.auth.scopes
    assert len({scope.reason for scope in scopes}) == len(scopes) == 10
    assert {scope.name for scope in scopes if scope.optional} == {s.name for s in scopes if s.name.endswith(".write")}
