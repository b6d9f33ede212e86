"""Tokens we sign ourselves, checked by an independent reading of them; and grants of the application itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt as reader
from joserfc.jwk import OctKey, RSAKey

from connectors.sdk import AuthError, HttpClient, Secret
from connectors.sdk.jwt import obtain, sign
from connectors.sdk.oauth import OAuthClient, client_credentials
from connectors.sdk.schema.auth import Auth, Jwt
from tests.connectors.sdk.servers import ALLOW, Vendor

Start = Callable[[Any], Any]
AT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def test_a_service_account_is_exchanged(start: Start, pem: str) -> None:
    account = orjson.dumps({"client_email": "robot@x.example", "private_key": pem, "private_key_id": "k1"}).decode()
    vendor = start(Vendor(lambda _call: (200, {}, {"access_token": "at-1", "expires_in": 3600})))
    spec = Jwt(
        key="key", key_format="service_account", issuer="{key.client_email}", audience="{origin}/token", scope="read"
    )
    auth = Auth(kind="jwt_bearer", token_url="{origin}/token", jwt=spec)
    http = HttpClient(hosts=[vendor.origin], allow=ALLOW)
    tokens = obtain(http, auth, Secret(account), names={"origin": vendor.origin}, at=AT)
    assert (tokens.access_token.reveal(), tokens.expires_at) == ("at-1", AT + timedelta(hours=1))
    sent = parse_qs(vendor.calls[0].body.decode())
    assert sent["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    found = reader.decode(sent["assertion"][0], RSAKey.import_key(pem))
    assert found.header == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    now = int(AT.timestamp())
    assert found.claims == {
        "iss": "robot@x.example", "aud": f"{vendor.origin}/token", "scope": "read", "iat": now, "exp": now + 300,
    }  # fmt: skip


def test_an_id_and_secret_sign_the_token_itself() -> None:
    spec = Jwt(key="key", key_format="id_secret", audience="/admin/", exchange=False)
    token = sign(spec, Secret("abc123:" + "0f" * 32), names={}, at=AT)
    found = reader.decode(token, OctKey.import_key(bytes.fromhex("0f" * 32)), algorithms=["HS256"])
    assert found.header["kid"] == "abc123"
    assert found.claims["aud"] == "/admin/"


def test_a_key_that_has_lost_its_line_ends(pem: str) -> None:
    """As a password field leaves it."""
    spec = Jwt(key="key", key_format="pem", issuer="12")
    token = sign(spec, Secret(pem.replace("\n", "")), names={}, at=AT)
    assert reader.decode(token, RSAKey.import_key(pem)).claims["iss"] == "12"


@pytest.mark.parametrize(
    ("form", "key"),
    [("pem", "none"), ("service_account", "{}"), ("service_account", "[]"), ("service_account", "x"), ("id_secret", "abc"),
     ("id_secret", "a:zz"), ("pem", "")],
)  # fmt: skip
def test_a_key_of_another_form_is_refused_without_showing_it(form: Any, key: str) -> None:
    with pytest.raises(AuthError) as caught:
        sign(Jwt(key="key", key_format=form), Secret(key or "\n"), names={}, at=AT)
    assert caught.value.code == "key_wrong"


@pytest.mark.parametrize("way", ["body", "basic", "json"])
def test_the_application_asks_for_itself(start: Start, way: Any) -> None:
    vendor = start(Vendor(lambda _call: (200, {}, {"access_token": "at-1", "expires_in": "60"})))
    auth = Auth(
        kind="client_credentials", token_url="{origin}/token", client_auth=way, token_params={"audience": "api"},
        scopes=[{"name": "read", "reason": "To read."}],  # type: ignore[list-item]  # as a manifest gives it
    )  # fmt: skip
    http = HttpClient(hosts=[vendor.origin], allow=ALLOW)
    tokens = client_credentials(http, auth, OAuthClient("id", Secret("s:e")), names={"origin": vendor.origin}, at=AT)
    assert tokens.expires_at == AT + timedelta(minutes=1)
    call = vendor.calls[0]
    sent = orjson.loads(call.body) if way == "json" else {k: v[0] for k, v in parse_qs(call.body.decode()).items()}
    assert {"grant_type": "client_credentials", "scope": "read", "audience": "api"}.items() <= sent.items()
    if way == "basic":
        assert call.headers["authorization"] == "Basic aWQ6cyUzQWU="
        assert "client_secret" not in sent
    else:
        assert sent["client_secret"] == "s:e"
