"""From the button to a working connection, and every way that it must not work, against servers by others."""

import hashlib
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg
import pytest
from flask import Flask

from app import clock
from app.errors import NotFoundError
from connectors.sdk import oauth as vendor_oauth
from tests.counterparts.oauth.servers import Provider
from tests.counterparts.oauth.site import Site

CODE = "authorization_code"


class _LostError(BaseException):
    """The worker is gone."""


def without(address: str, **replaced: str | None) -> str:
    """Return an address with parameters replaced, or taken away where they are None."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | replaced
    return parts._replace(query=urlencode({name: value for name, value in query.items() if value})).geturl()


@pytest.mark.parametrize("provider", ["oidc", "toolkit", "lenient"], indirect=True)
def test_code_and_pkce_end_to_end(site: Site) -> None:
    """One exchange gives a tested connection with both tokens.

    Red when the verifier does not fit its challenge (S256), when the secret is not form-encoded in a Basic header, when
    `prompt=consent` is not sent (oidc-provider: no refresh token), or when `iss` of the manifest is not looked at.
    """
    sent = site.authorise()
    assert site.connection("state", "account_id", "account_name", "error_code") == ("ready", "acme", "acme", None)
    active = site.provider.is_active(site.tokens()[0])
    left = site.ask("SELECT count(*) FROM oauth_states")[0]
    exchanges = site.provider.front.count(CODE, 200)
    print(f"\nEXCHANGES {exchanges}/1 ACTIVE {int(active)}/1 STATES LEFT {left} ISS {sent.get('iss')}")
    assert (exchanges, active, left) == (1, True, 0)
    assert (site.call(), site.provider.front.count("refresh_token")) == ("acme", 0)
    assert (site.call(refresh=True), site.provider.front.count("refresh_token", 200)) == ("acme", 1)


def test_the_server_would_not_go_on_without_pkce(site: Site) -> None:
    """Proof that the servers insist: the same address without its challenge gets no code. Red when PKCE is switched off there."""
    sent = site.provider.answer(without(site.begin(), code_challenge=None, code_challenge_method=None), "acme")
    print(f"\nCODES {int('code' in sent)}/0 ERROR {sent['error']}")
    assert "code" not in sent
    assert sent["error"] == "invalid_request"


def test_a_refusal_at_the_server(site: Site) -> None:
    """The deny button: the person is told, no token call is made, and the state has ended.

    Red when the callback's error is taken for a code, or when the state outlives it.
    """
    sent = site.provider.answer(site.begin(), "acme", allow=False)
    assert sent["error"] == "access_denied"
    site.come_back(sent)
    print(f"\nTOKEN CALLS {len(site.provider.front.calls)}/0")
    assert site.connection("state", "error_code") == ("new", "denied")
    assert (site.provider.front.calls, site.ask("SELECT count(*) FROM oauth_states")) == ([], (0,))
    with pytest.raises(NotFoundError):
        site.come_back(sent)
    site.authorise()
    assert site.connection("state", "error_code") == ("ready", None)


def test_an_expired_state(site: Site) -> None:
    """A good code that comes after eleven minutes is not sent to the server. Red without the state's expiry."""
    sent = site.provider.answer(site.begin(), "acme")
    late = clock.now() + timedelta(minutes=11)
    clock.replace_source(lambda: late)
    try:
        with pytest.raises(NotFoundError):
            site.come_back(sent)
    finally:
        clock.replace_source(None)
    site.drain()
    print(f"\nTOKEN CALLS {len(site.provider.front.calls)}/0")
    assert (site.provider.front.calls, site.connection("state")) == ([], ("new",))


def test_a_code_that_was_meant_for_another_verifier(site: Site) -> None:
    """A code planted by somebody else: their challenge, our verifier. The server refuses, nothing is stored.

    Red when the verifier is not sent, or is not bound to the state.
    """
    theirs = urlsafe_b64encode(hashlib.sha256(b"somebody else's verifier, long enough for all").digest()).decode()
    sent = site.provider.answer(without(site.begin(), code_challenge=theirs.rstrip("=")), "acme")
    site.come_back(sent)
    refused = site.provider.front.count(CODE, 400)
    print(f"\nREFUSED {refused}/1 TOKENS {site.ask('SELECT count(*) FROM credentials')[0]}/0")
    assert (refused, len(site.provider.front.calls)) == (1, 1)
    assert site.ask("SELECT count(*) FROM credentials") == (0,)
    assert site.connection("state", "error_message") == ("new", "Counterpart did not accept the authorisation.")


def test_a_replayed_callback_never_reaches_the_server(site: Site) -> None:
    """The same callback twice, and the task of it delivered again: one exchange. Red when a state can be used again.

    It matters: oidc-provider ends the grant of a code that comes twice.
    """
    sent = site.authorise()
    with pytest.raises(NotFoundError):
        site.come_back(sent)
    site.owner.execute("UPDATE tasks SET state = 'ready', due_at = now() WHERE kind = 'exchange_code'")
    site.drain()
    print(f"\nEXCHANGES {site.provider.front.count(CODE)}/1")
    assert site.provider.front.calls == [(CODE, 200)]
    assert site.call() == "acme"


def test_a_worker_lost_with_the_answer_does_not_send_the_code_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code is blanked before it is sent: a task delivered again says so and makes no second exchange.

    Red when the code is kept until its tokens are stored: oidc-provider would see it twice.
    """
    exchange = vendor_oauth.exchange_code

    def lose(*args: Any, **more: Any) -> None:
        exchange(*args, **more)
        raise _LostError

    sent = site.provider.answer(site.begin(), "acme")
    with monkeypatch.context() as crash:
        crash.setattr(vendor_oauth, "exchange_code", lose)
        with pytest.raises(_LostError):
            site.come_back(sent)
    site.owner.execute("UPDATE tasks SET state = 'ready', due_at = now() WHERE kind = 'exchange_code'")
    site.drain()
    print(f"\nEXCHANGES {site.provider.front.count(CODE)}/1")
    assert site.provider.front.calls == [(CODE, 200)]
    assert site.connection("state", "error_message") == ("new", "Counterpart did not accept the authorisation.")
    site.authorise()
    assert site.connection("state", "error_code") == ("ready", None)


def test_a_code_of_one_state_used_in_another(site: Site) -> None:
    """A stolen code that has been used, in an authorisation of the thief's own: refused, and the first grant lives.

    Red when the verifier is not that of the state: the servers look at it before they look for a code's second use.
    """
    code = site.authorise()["code"]
    access, _ = site.tokens()
    again = site.provider.answer(site.begin(), "globex")
    site.come_back({**again, "code": code})
    alive = site.provider.is_active(access)
    print(f"\nREFUSED {site.provider.front.count(CODE, 400)}/1 FIRST GRANT {'alive' if alive else 'ended'}")
    assert site.provider.front.count(CODE) == 2
    assert site.provider.front.count(CODE, 400) == 1
    assert alive
    assert site.tokens()[0] == access


def test_another_account_is_refused(site: Site) -> None:
    """Red when the account of a new authorisation is not compared with the one connected before."""
    site.authorise("acme")
    site.authorise("globex")
    print(f"\nSTATE {site.connection('state', 'error_code')}")
    assert site.connection("state", "error_code", "account_id") == ("reconnect", "account_changed", "acme")


def test_a_mix_up_of_two_servers(
    apps: dict[str, Flask], here: None, owner: psycopg.Connection[Any], oidc: Provider, toolkit: Provider
) -> None:
    """A code of one server is never sent to another, and the right callback is still good afterwards (O10).

    Red without the connector in the state, or without the comparison of `iss` (RFC 9207).
    """
    first = Site(apps, owner, oidc)
    second = Site(apps, owner, toolkit, tenant_id=first.tenant_id)
    second.user_id, second.session_id = first.user_id, first.session_id
    good, other = oidc.answer(first.begin(), "acme"), toolkit.answer(second.begin(), "acme")
    assert good["iss"] == oidc.origin
    mixed = [
        (second, good), (first, other), (first, {**good, "iss": toolkit.origin}), (first, {**good, "iss": oidc.origin + "/evil"}),
        (second, {**other, "iss": oidc.origin}),
    ]  # fmt: skip
    refused = 0
    for site, sent in mixed:
        with pytest.raises(NotFoundError):
            site.come_back(sent)
        refused += 1
    calls = len(oidc.front.calls) + len(toolkit.front.calls)
    print(f"\nREFUSED {refused}/{len(mixed)} TOKEN CALLS {calls}/0")
    assert calls == 0
    first.come_back(good)
    second.come_back(other)
    assert (first.connection("state"), second.connection("state")) == (("ready",), ("ready",))


def test_the_redirect_address_is_exact(site: Site) -> None:
    """Proof that the servers compare it: another return address never gets a code (O12)."""
    address = without(site.begin(), redirect_uri=site.provider.redirect + "/else")
    with pytest.raises(AssertionError, match=r"(?i)400 .*redirect.?uri"):
        site.provider.answer(address, "acme")
    print("\nCODES 0/0")
