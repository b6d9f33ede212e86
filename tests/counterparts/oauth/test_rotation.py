"""One refresh however many workers want one, and what is left when the one who refreshes is killed (O01, O02)."""

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.clock import now
from app.services import oauth, oauth_clients
from app.transaction import transaction
from connectors.sdk import AuthError, Secret, UnavailableError
from connectors.sdk import oauth as vendor_oauth
from jobs import vendor
from tests.counterparts.oauth.servers import Provider
from tests.counterparts.oauth.site import Site
from tests.counterparts.oauth.workers import Refreshers

REFRESH = "refresh_token"
SOAK = bool(os.environ.get("PATCHBAY_SOAK"))
WORKERS, TIMES = 8, 10 if SOAK else 1


def test_rotation_under_eight_processes(site: Site, refreshers: Refreshers) -> None:
    """20 times (5 with the second server) the token expires under 8 workers: 20 refreshes, 160 good calls, 0 dead grants.

    The answer is held until all eight have asked for a new token. Red without the lease on the credential row, without
    the look at what is stored after it, and when a new refresh token is not stored before it is used.
    """
    site.authorise()
    rounds = 20 if SOAK or site.provider.name == "oidc" else 5
    ends: Counter[str] = Counter()
    chain = {site.tokens()}
    for _ in range(rounds):
        site.expire()
        gate = site.provider.front.gate("answer")
        refreshers.go(site, WORKERS)
        assert gate.reached.wait(30)
        gate.open()
        ends += refreshers.end()
        chain.add(site.tokens())
    calls, dead = site.provider.front.count(REFRESH), int(not site.provider.is_active(site.tokens()[0]))
    print(
        f"\nREFRESHES {calls}/{rounds} WORK {ends['works']}/{rounds * WORKERS} DEAD GRANTS {dead}/1 PAIRS {len(chain)}"
    )
    assert (calls, site.provider.front.count(REFRESH, 200), ends) == (rounds, rounds, {"works": rounds * WORKERS})
    assert (dead, len(chain), site.connection("state")) == (0, rounds + 1, ("ready",))


@pytest.mark.parametrize("provider", ["oidc", "toolkit", "lenient"], indirect=True)
def test_what_the_lease_prevents(site: Site) -> None:
    """Proof that the servers punish it: eight refreshes of one token, without the lease, end the grant of a strict one.

    Red when a server's reuse detection is switched off: then the test above would prove nothing.
    """
    site.authorise()
    _, old = site.tokens()
    with site.apps["worker"].app_context(), transaction():
        client = oauth_clients.open_client(site.provider.slug)
    assert client is not None
    auth, settings = site.connector.manifest.auth, {"server": site.provider.origin}
    names = oauth.names_of(site.connector, settings)

    def race(token: str) -> vendor_oauth.TokenSet | None:
        with site.apps["worker"].app_context():
            http = vendor.http_client(site.connector, settings)
            try:
                return vendor_oauth.refresh(http, auth, client, Secret(token), names=names, at=now())
            except AuthError:
                return None

    with ThreadPoolExecutor(WORKERS - 1) as pool:
        won = [found for found in pool.map(race, [old] * (WORKERS - 1)) if found]
    won += [found for found in [race(old)] if found]  # One at least comes when the others have been answered.
    alive = [found for found in won if found.refresh_token and race(found.refresh_token.reveal())]
    print(f"\nWON {len(won)}/{WORKERS} GRANT {'alive' if alive else 'dead'}")
    if site.provider.strict:
        assert not alive
        # SQLite locks no rows, so that several see the token unused; a strict server on a better one lets one win.
        assert len(won) == 1 or site.provider.name == "toolkit"
    else:
        assert len({found.refresh_token.reveal() for found in won if found.refresh_token}) == 1
        assert alive


def lose(site: Site, refreshers: Refreshers, moment: str) -> None:
    """Have a worker refresh and kill it with -9: before, during or after the server's answer, or once it is stored."""
    site.expire()
    if moment in ("after", "stored"):
        refreshers.go(site, dies="answered" if moment == "after" else "stored")
    else:
        gate = site.provider.front.gate("request" if moment == "before" else "answer")
        (pid,) = refreshers.go(site)
        assert gate.reached.wait(30)
        os.kill(pid, signal.SIGKILL)
        gate.open(lost=True)
    assert refreshers.end() == {"killed": 1}


@pytest.mark.parametrize("provider", ["oidc", "toolkit", "lenient"], indirect=True)
@pytest.mark.parametrize("time", range(TIMES))
@pytest.mark.parametrize("moment", ["before", "during", "after", "stored"])
def test_the_refresher_is_killed(
    site: Site, refreshers: Refreshers, moment: str, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recoverable after kill -9, with each server.

    | killed | strict server | server with a leeway |
    |---|---|---|
    | before the request has arrived | the next one refreshes | the same |
    | before the answer has arrived, or before it is stored | a person must connect again: the successor is lost | the next one gets the same successor |
    | after it is stored | nothing is lost, no call more | the same |

    Meanwhile others wait, as for an outage. Red when the lease has no end (nobody ever refreshes), when it is not taken
    (the others refresh at once), or when a refusal is tried again and again.
    """
    site.authorise()
    lose(site, refreshers, moment)
    front, lost = site.provider.front, moment in ("during", "after")
    if moment != "stored":
        with monkeypatch.context() as hurry:
            hurry.setattr(vendor, "_WAIT_SECONDS", 0.2)
            with pytest.raises(UnavailableError):
                site.call()
        assert site.connection("state", "error_code") == ("ready", None)
        site.end_lease()
    if lost and site.provider.strict:
        for _ in range(5):
            with pytest.raises(AuthError):
                site.call()
        assert (front.count(REFRESH, 200), front.count(REFRESH)) == (1, 2)
        assert site.connection("state", "error_code") == ("reconnect", "reconnect")
        site.authorise()
    calls = front.count(REFRESH)
    assert site.call() == "acme"
    if not (lost and site.provider.strict):
        calls = front.count(REFRESH)
        assert (calls, front.count(REFRESH, 200)) == ((2, 2) if lost else (1, 1))
    assert site.connection("state", "error_code") == ("ready", None)
    # The chain goes on from what is stored.
    assert site.call(refresh=True) == "acme"
    recovered = "by a person" if lost and site.provider.strict else "by itself"
    print(f"\nKILLED {moment.upper()} RECOVERED {recovered} TOKEN CALLS {calls}/3")
    assert calls <= 3


def test_a_late_answer_never_replaces_newer_tokens(
    apps: dict[str, Flask], here: None, owner: psycopg.Connection[Any], lenient: Provider
) -> None:
    """A worker is paused longer than its lease, and another refreshes meanwhile; then two more calls work.

    Red when a late answer is stored over what came after it, and when its worker does not take what is stored.
    """
    site = Site(apps, owner, lenient)
    site.authorise()
    site.expire()
    gate = lenient.front.gate("answer")
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(site.call)
        assert gate.reached.wait(30)
        site.end_lease()
        assert site.call() == "acme"
        assert site.call(refresh=True) == "acme"
        newest, version = site.tokens(), site.ask("SELECT version FROM credentials")
        gate.open()
        assert late.result(30) == "acme"
    print(f"\nREFRESHES {lenient.front.count(REFRESH)}/3 STATE {site.connection('state')[0]}")
    assert (site.tokens(), site.ask("SELECT version FROM credentials")) == (newest, version)
    assert site.call(refresh=True) == "acme"
    assert site.connection("state", "error_code") == ("ready", None)


def test_an_outage_of_one_worker_leaves_the_lease_to_another(
    apps: dict[str, Flask], here: None, owner: psycopg.Connection[Any], oidc: Provider
) -> None:
    """A worker is paused longer than its lease and then gets no answer, while another refreshes: no third one may begin.

    Red when a worker gives a lease back that is no longer its own: the third sends the same token, and the grant ends.
    """
    site = Site(apps, owner, oidc)
    site.authorise()
    site.expire()
    with ThreadPoolExecutor(3) as pool:
        first_gate = oidc.front.gate("request")
        first = pool.submit(site.call)
        assert first_gate.reached.wait(30)
        site.end_lease()
        second_gate = oidc.front.gate("answer")
        second = pool.submit(site.call)
        assert second_gate.reached.wait(30)
        first_gate.open(lost=True)
        with pytest.raises(UnavailableError):
            first.result(30)
        held = site.ask("SELECT refresh_lease_until > now() FROM credentials")
        third = pool.submit(site.call) if held[0] else None
        second_gate.open()
        ends = [found.result(30) for found in (second, third) if found]
    print(f"\nREFRESHES {oidc.front.count(REFRESH)}/1 LEASE HELD {held[0]} WORK {len(ends)}/2")
    assert (held, ends, oidc.front.count(REFRESH)) == ((True,), ["acme", "acme"], 1)
