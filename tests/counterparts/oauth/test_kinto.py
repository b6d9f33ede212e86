"""A real Kinto that takes the tokens of a real oidc-provider, both behind one door, synced by real runs."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml
from flask import Flask

from connectors.registry import ROOT
from tests.counterparts.kinto import Kinto, company, contact
from tests.counterparts.oauth.servers import Provider
from tests.counterparts.oauth.site import Site

CONTACTS, COMPANIES, PAGE = 200, 10, 10


def openid(provider: Provider) -> dict[str, str]:
    """Return the settings of Kinto's own plugin: it asks the provider at each call whose token it is."""
    policy = "multiauth.policy.openid"
    return {
        "kinto.includes": "kinto.plugins.default_bucket kinto.plugins.accounts kinto.plugins.openid",
        "multiauth.policies": "account openid",
        "multiauth.policy.account.use": "kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy",
        f"{policy}.use": "kinto.plugins.openid.OpenIDConnectPolicy",
        f"{policy}.issuer": provider.origin,
        f"{policy}.client_id": provider.client_id,
        f"{policy}.userid_field": "sub",
        f"{policy}.verification_ttl_seconds": "0",
    }


def manifest_of(provider: Provider) -> dict[str, Any]:
    """Return the manifest of our own Kinto connector, authorised by OAuth and with small pages."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "kinto" / "manifest.yaml").read_text())
    found |= {"slug": provider.slug, "auth": provider.auth}
    found["config"] = [field for field in found["config"] if field["name"] in ("server", "bucket")]
    for stream in found["streams"]:
        stream["request"]["query"] = {"_limit": PAGE}
        stream.pop("writes", None)
    return found


@pytest.fixture(scope="module")
def server(oidc_server: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    found = Kinto(tmp_path_factory.mktemp("kinto"), settings=openid(oidc_server)).start()
    found.allow_reading("openid:acme")
    found.put_all("companies", [company(n) for n in range(COMPANIES)])
    oidc_server.front.put_before(found.port, "/v1/")
    yield found
    found.stop()
    del oidc_server.front.behind["/v1/"]


@pytest.fixture
def kinto(server: Kinto) -> Kinto:
    """Kinto with its contacts as they were."""
    server.put_all("contacts", [contact(n) for n in range(CONTACTS)])
    return server


@pytest.fixture
def synced(
    apps: dict[str, Flask], here: None, owner: psycopg.Connection[Any], oidc: Provider, kinto: Kinto, first: str
) -> Site:
    manifest = manifest_of(oidc)
    manifest["streams"].sort(key=lambda stream: stream["name"] != first)
    return Site(apps, owner, oidc, manifest=manifest, settings={"bucket": "crm"})


def counts(site: Site) -> tuple[Any, ...]:
    """Return state, read, created, deleted, failed and pages of the newest run."""
    return tuple(
        site.ask(
            "SELECT r.state, sum(s.read)::int, sum(s.created)::int, sum(s.deleted)::int, sum(s.failed)::int, "
            "sum(s.pages)::int FROM runs r JOIN run_streams s ON s.run_id = r.id GROUP BY r.id, r.state "
            "ORDER BY r.id DESC LIMIT 1"
        )
    )


@pytest.mark.parametrize("first", ["companies", "contacts"])
def test_a_run_whose_token_ends_on_the_way(synced: Site, kinto: Kinto) -> None:
    """Connect, read 10 companies and 200 contacts, the token ends at the seventh page of them, then changes (O04).

    Red when the token does not reach Kinto as a bearer token, when a 401 in the middle ends the run or makes it start
    again, or when more than one token is asked for.
    """
    synced.authorise()
    assert synced.connection("state", "account_id") == ("ready", f"{synced.provider.origin}/crm")
    front, asked, token = synced.provider.front, [], synced.tokens()[0]

    def end_at_seven(path: str) -> None:
        if "/contacts/records" in path:
            asked.append(path)
            if len(asked) == 7:
                synced.provider.end(token)

    front.on_request = end_at_seven
    synced.activate()
    front.on_request = None
    state, read, created, deleted, failed, pages = counts(synced)
    refreshes, links = front.count("refresh_token"), synced.ask("SELECT count(DISTINCT external_id) FROM links")[0]
    print(
        f"\nREAD {read}/{CONTACTS + COMPANIES} LINKS {links} PAGES {pages}/22 CONTACT CALLS {len(asked)} REFRESHES {refreshes}/1"
    )
    assert (state, read, created, deleted, failed) == ("done", CONTACTS + COMPANIES, CONTACTS + COMPANIES, 0, 0)
    assert (refreshes, links) == (1, CONTACTS + COMPANIES)
    assert not synced.provider.is_active(token)

    kinto.put_all("contacts", [contact(3, city="Oslo"), contact(900)])
    kinto.delete("contacts", "contact-5")
    assert synced.run("incremental") == ("done",)
    print(f"CHANGED {counts(synced)}")
    kinto.delete("contacts", "contact-900")
    assert counts(synced)[:5] == ("done", 2, 1, 1, 0)


@pytest.mark.parametrize("first", ["contacts"])
def test_kinto_refuses_what_the_provider_no_longer_honours(synced: Site) -> None:
    """The grant is taken back: Kinto answers 401, one refresh is tried, a person is asked; no record is lost.

    Red when the run goes on asking, or takes the refusal for an empty collection.
    """
    synced.authorise()
    synced.activate()
    before = synced.ask("SELECT count(*) FROM records WHERE deleted_at IS NULL")
    for token in reversed(synced.tokens()):
        synced.provider.revoke(token)
    assert synced.run() == ("failed",)
    calls = synced.provider.front.count("refresh_token")
    print(f"\nTOKEN CALLS {calls}/1 RECORDS {before[0]}/{CONTACTS + COMPANIES}")
    assert (calls, synced.connection("state", "error_code")) == (1, ("reconnect", "reconnect"))
    assert synced.ask("SELECT count(*) FROM records WHERE deleted_at IS NULL") == before == (CONTACTS + COMPANIES,)
