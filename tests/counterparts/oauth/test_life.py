"""A connection that works meets an outage, an owner who takes it back, and a customer who disconnects (O05, O06, O17)."""

from typing import Any

import psycopg
import pytest
from flask import Flask

from connectors.sdk import AuthError, UnavailableError
from tests.counterparts.oauth.servers import Provider, Toolkit
from tests.counterparts.oauth.site import Site

REFRESH = "refresh_token"


def go_away(provider: Provider) -> None:
    """Take the server away: django-oauth-toolkit for real, oidc-provider, which keeps all in memory, from sight."""
    if isinstance(provider, Toolkit):
        provider.kill()
    else:
        provider.front.cut = True


def come_again(provider: Provider) -> None:
    """Bring it back."""
    if isinstance(provider, Toolkit):
        provider.start()
    provider.front.cut = False


def test_an_outage_passes(site: Site) -> None:
    """The server is down: runs wait, nobody is asked to connect again, and the same grant goes on afterwards (O06).

    Red when a call that was not answered counts as a refusal, or when the lease stays taken after it.
    """
    site.authorise()
    site.activate()
    site.expire()
    go_away(site.provider)
    try:
        for _ in range(3):
            with pytest.raises(UnavailableError):
                site.call()
        state = site.run()
    finally:
        come_again(site.provider)
    asked = site.ask("SELECT count(*) FROM problems WHERE code = 'reconnect'")[0]
    print(f"\nASKED TO CONNECT AGAIN {asked}/0 RUN {state[0]}")
    assert (site.connection("state", "error_code"), asked) == (("ready", None), 0)
    assert state[0] in ("queued", "running")
    site.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'sync'")
    site.drain("sync")
    assert site.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1") == ("done",)
    assert site.provider.front.count(REFRESH, 200) == site.provider.front.count(REFRESH) == 1


def test_taken_back_at_the_server(site: Site) -> None:
    """The owner takes the grant back: one token call, one problem, and no call more until a person connects (O05).

    Red when a refusal is retried, when each run opens a problem of its own, or when connecting again does not close it.
    """
    site.authorise()
    site.activate()
    assert site.ask("SELECT state, (SELECT count(*) FROM records) FROM runs") == ("done", 3)
    access, refresh = site.tokens()
    site.provider.revoke(refresh)
    site.provider.revoke(access)
    states = [site.run()[0]]
    for _ in range(3):
        with pytest.raises(AuthError):
            site.call(refresh=True)
    site.owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")
    site.drain()
    site.drain("sync")
    calls = site.provider.front.count(REFRESH)
    problems = site.ask("SELECT count(*), min(code) FROM problems WHERE state = 'open'")
    print(f"\nTOKEN CALLS {calls}/1 PROBLEMS {problems[0]}/1 RUN {states}")
    assert (calls, problems, states) == (1, (1, "reconnect"), ["failed"])
    assert site.connection("state", "error_code") == ("reconnect", "reconnect")
    site.authorise()
    assert site.connection("state", "error_code") == ("ready", None)
    assert site.ask("SELECT count(*) FROM problems WHERE state = 'open'") == (0,)
    site.drain("sync")
    assert site.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1") == ("done",)


def test_only_the_access_token_ends_early(site: Site) -> None:
    """A run meets a 401, gets one fresh token and ends well. Red without the one fresh token a run tries."""
    site.authorise()
    site.activate()
    site.provider.end(site.tokens()[0])
    state, calls = site.run()[0], site.provider.front.count(REFRESH)
    print(f"\nREFRESHES {calls}/1 RUN {state}")
    assert (calls, state, site.connection("state", "error_code")) == (1, "done", ("ready", None))


def test_disconnect_gives_the_access_back(site: Site) -> None:
    """The server no longer honours either token, and then no ciphertext is left (O17).

    Red when nothing is revoked, or when the row is only marked.
    """
    site.authorise()
    access, refresh = site.tokens()
    assert site.provider.is_active(access)
    site.disconnect()
    assert site.ask("SELECT count(*) FROM credentials") == (1,)
    site.drain()
    active = [token for token in (access, refresh) if site.provider.is_active(token)]
    left = site.ask("SELECT (SELECT count(*) FROM credentials) + (SELECT count(*) FROM oauth_states)")[0]
    print(f"\nHONOURED {len(active)}/2 REVOCATIONS {site.provider.front.count('revoke', 200)}/1 CIPHERTEXTS {left}/0")
    assert (active, site.provider.front.count("revoke", 200), left) == ([], 1, 0)
    assert site.connection("state") == ("revoked",)
    with pytest.raises(AuthError):
        site.call()
    # The same answer as anybody else's with that token: it has ended.
    assert site.provider.refreshes(refresh) == 400


def test_disconnect_while_the_server_is_down(
    apps: dict[str, Flask], here: None, owner: psycopg.Connection[Any], toolkit: Provider
) -> None:
    """It is tried again until the server has heard it; only then the ciphertext goes. Red when it goes first."""
    site = Site(apps, owner, toolkit)
    site.authorise()
    access, refresh = site.tokens()
    site.disconnect()
    go_away(toolkit)
    try:
        site.drain()
    finally:
        come_again(toolkit)
    kept = site.ask("SELECT count(*) FROM credentials")[0]
    assert toolkit.is_active(access)
    owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'revoke'")
    site.drain()
    print(f"\nKEPT MEANWHILE {kept}/1 HONOURED {int(toolkit.is_active(access))}/0")
    assert (kept, toolkit.is_active(access), site.ask("SELECT count(*) FROM credentials")) == (1, False, (0,))
    assert toolkit.refreshes(refresh) == 400
