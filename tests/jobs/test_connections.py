"""Connections from the callback to the disconnect, by the real worker functions against a running Sandbox CRM."""

import threading
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import requests
from flask import Flask, request
from werkzeug.serving import make_server

from app.services import connections, dry_runs, installations, listings, oauth, previews
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sandbox.vendor.app import create_vendor
from connectors.sandbox.vendor.store import Store
from connectors.sdk import AuthError, UnavailableError
from jobs import drain as drain_module
from jobs.vendor import vendor_session
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]
REDIRECT = "http://localhost/oauth/callback/sandbox"
SESSION, USER = uuid.uuid4(), uuid.uuid4()


class Vendor:
    """Sandbox CRM in a thread; `token_fault` is what its token endpoint answers instead."""

    def __init__(self) -> None:
        self.app = create_vendor(redirect_uris=[REDIRECT])
        self.store: Store = self.app.extensions["store"]
        self.token_fault: tuple[str, int] | None = None
        self.app.before_request(self._fault)
        self._server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.origin = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _fault(self) -> Any:
        return self.token_fault if request.path == "/oauth/token" else None

    def calls(self) -> int:
        """Return how often tokens were asked for."""
        return int(self.store.get("count", "token_calls") or 0)

    def expire_access(self) -> None:
        """Take back every access token."""
        self.store.put("fault", "epoch", (self.store.get("fault", "epoch") or 0) + 1)

    def stop(self) -> None:
        """Stop."""
        self._server.shutdown()


class Site:
    """One tenant with one installation of Sandbox CRM."""

    def __init__(self, apps: dict[str, Flask], vendor: Vendor, owner: Owner) -> None:
        self.apps, self.vendor, self.owner = apps, vendor, owner
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            made = installations.create_installation(self.tenant_id, "sandbox", user_id=USER)
            self.installation_id, self.connection_id = made.id, made.connection_id
            self.connector = listings.connector_of(made.listing_version_id)
            connection = connections.get_connection(self.tenant_id, made.connection_id)
            connections.save_settings(connection, self.connector.manifest, {"server": vendor.origin})

    def authorise(self, account: str = "acme", *, verifier_lost: bool = False, work: bool = True) -> None:
        """Give consent at the vendor and come back with its code; then let the worker work."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            address = oauth.begin(
                self.tenant_id, self.installation_id, self.connector, session_id=SESSION, user_id=USER,
                redirect_uri=REDIRECT,
            )  # fmt: skip
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        if verifier_lost:
            asked["code_challenge"] = "x" * 43
        answer = requests.post(
            f"{self.vendor.origin}/oauth/authorize", data={**asked, "answer": "allow", "account": account},
            allow_redirects=False, timeout=5,
        )  # fmt: skip
        sent = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        with self.apps["web"].app_context():
            found = oauth.tenant_of_state(sent["state"])
            assert found is not None
            with bind_tenant(self.tenant_id), transaction():
                oauth.take_callback(
                    *found, session_id=SESSION, user_id=USER, connector=self.connector, code=sent["code"],
                    issuer=sent["iss"],
                )  # fmt: skip
        if work:
            drain_module.drain("fast")

    def connection(self, *columns: str) -> tuple[Any, ...]:
        """Return columns of the connection."""
        row = self.owner.execute(f"SELECT {', '.join(columns)} FROM connections").fetchone()
        assert row is not None
        return tuple(row)

    def call(self, *, refresh: bool = False) -> str:
        """Make a real call as a run does and return the account's name."""
        with self.apps["worker"].app_context(), bind_tenant(self.tenant_id):
            connector, session = vendor_session(self.tenant_id, self.installation_id, refresh=refresh)
            return connector.check(session).name


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    found = Vendor()
    yield found
    found.stop()


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Site(apps, vendor, owner)


def test_a_code_becomes_a_tested_connection_with_fields_and_samples(site: Site) -> None:
    site.authorise()
    assert site.connection("state", "account_id", "account_name", "error_code") == (
        "ready", "acme", "Acme Tools Ltd", None,
    )  # fmt: skip
    assert site.owner.execute("SELECT count(*) FROM oauth_states").fetchone() == (0,)
    row = site.owner.execute("SELECT fields FROM installation_streams WHERE stream = 'contacts'").fetchone()
    assert row is not None
    fields = {field["label"]: field for field in row[0]}
    assert "@" in fields["E-mail"]["sample"]
    assert fields["Favourite colour"]["custom"]
    assert site.call() == "Acme Tools Ltd"


def test_a_code_without_its_verifier_is_refused(site: Site) -> None:
    """A verifier that does not fit the challenge gets no tokens (O11)."""
    site.authorise(verifier_lost=True)
    state, message = site.connection("state", "error_message")
    assert state == "new"
    assert message == "Sandbox CRM did not accept the authorisation."
    assert site.owner.execute("SELECT count(*) FROM credentials").fetchone() == (0,)


def test_a_worker_lost_in_the_exchange_leaves_no_endless_wait(site: Site) -> None:
    """The code was taken and the worker died: the next one says so instead of sending the code again."""
    site.authorise(work=False)
    site.owner.execute("UPDATE oauth_states SET code_sealed = ''")
    drain_module.drain("fast")
    assert site.vendor.calls() == 0
    assert site.connection("state", "error_message") == ("new", "Sandbox CRM did not accept the authorisation.")
    site.authorise()
    assert site.connection("state") == ("ready",)


def test_another_account_is_refused_and_nothing_is_read_from_it(site: Site) -> None:
    site.authorise("acme")
    site.authorise("globex")
    state, code, account, message = site.connection("state", "error_code", "account_name", "error_message")
    assert (state, code, account) == ("reconnect", "account_changed", "Acme Tools Ltd")
    assert message == "This is the account Globex GmbH, but Acme Tools Ltd was connected."
    with pytest.raises(AuthError) as refused:
        site.call()
    assert refused.value.user_message == message
    site.authorise("acme")
    assert site.connection("state", "error_code") == ("ready", None)
    assert site.call() == "Acme Tools Ltd"


def test_a_refused_token_is_renewed_and_the_grant_lives(site: Site) -> None:
    site.authorise()
    site.vendor.expire_access()
    with pytest.raises(AuthError):
        site.call()
    assert site.call(refresh=True) == "Acme Tools Ltd"
    assert site.call() == "Acme Tools Ltd"
    assert site.vendor.calls() == 2


def test_a_token_is_renewed_before_it_ends_unless_a_run_has_done_it(site: Site) -> None:
    site.authorise()
    site.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'refresh_token'")
    drain_module.drain("fast")
    assert site.vendor.calls() == 1
    row = site.owner.execute("SELECT state, due_at > now() FROM tasks WHERE kind = 'refresh_token'").fetchone()
    assert row == ("ready", True)
    site.owner.execute("UPDATE credentials SET refresh_after = now()")
    site.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'refresh_token'")
    drain_module.drain("fast")
    assert site.vendor.calls() == 2
    row = site.owner.execute("SELECT state, due_at > now() FROM tasks WHERE kind = 'refresh_token'").fetchone()
    assert row == ("ready", True)


def test_a_revoked_grant_asks_a_person_and_stops_asking_the_vendor(site: Site) -> None:
    """At most two token calls, then none (O05)."""
    site.authorise()
    before = site.vendor.calls()
    grant = site.vendor.store.execute("SELECT json_extract(value, '$.grant') FROM pairs WHERE kind = 'refresh'")[0][0]
    site.vendor.store.put("revoked", grant, True)
    for _ in range(5):
        with pytest.raises(AuthError):
            site.call(refresh=True)
    assert site.vendor.calls() - before == 1
    assert site.connection("state", "error_code") == ("reconnect", "reconnect")
    site.authorise()
    assert site.connection("state", "error_code") == ("ready", None)


@pytest.mark.parametrize(
    "fault", [("down", 503), ("<html>Sign in</html>", 200), ("<html>no</html>", 400), ("slow", 429)]
)
def test_a_passing_fault_of_the_token_endpoint_never_ends_a_grant(site: Site, fault: tuple[str, int]) -> None:
    """500, HTML and 429 are not refusals (O06)."""
    site.authorise()
    site.vendor.token_fault = fault
    with pytest.raises(Exception) as trouble:
        site.call(refresh=True)
    assert not isinstance(trouble.value, AuthError)
    assert site.connection("state") == ("ready",)
    site.vendor.token_fault = None
    assert site.call(refresh=True) == "Acme Tools Ltd"


def test_an_untested_connection_is_not_used_by_runs(site: Site) -> None:
    with pytest.raises(AuthError):
        site.call()
    site.owner.execute("UPDATE connections SET state = 'testing'")
    with pytest.raises(UnavailableError):
        site.call()


def test_disconnect_gives_the_grant_back_and_deletes_the_ciphertext(site: Site) -> None:
    site.authorise()
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        connections.disconnect(site.tenant_id, site.connection_id)
    drain_module.drain("fast")
    assert site.vendor.store.execute("SELECT count(*) FROM pairs WHERE kind = 'revoked'") == [(1,)]
    assert site.owner.execute("SELECT count(*) FROM credentials").fetchone() == (0,)
    assert site.connection("state", "revocation") == ("revoked", "given_back")
    said = site.owner.execute("SELECT details FROM audit WHERE action = 'connection.revoked'").fetchall()
    assert said == [({"outcome": "given_back"},)]


def test_previews_answer_with_mapped_records_and_counts(site: Site) -> None:
    site.authorise()
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        sample = previews.ask(site.tenant_id, site.installation_id, "sample", stream="contacts").id
        dry_runs.start(site.tenant_id, site.installation_id)
    drain_module.drain("fast")
    drain_module.drain("sync")
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id):
        found = previews.get(site.tenant_id, sample)
        assert (found.state, found.error) == ("ready", None)
        first = found.result["records"][0]
        assert "@" in first["values"]["properties.email"]
        dry = dry_runs.find_latest(site.tenant_id, site.installation_id)
        assert dry is not None
        answers = {answer["stream"]: answer for answer in dry.result["streams"]}
    assert (answers["contacts"]["read"], answers["contacts"]["ended"]) == (1000, "all")
    assert answers["companies"]["into"]["create"] == answers["companies"]["read"] > 0
    assert site.owner.execute("SELECT count(*) FROM records").fetchone() == (0,)
