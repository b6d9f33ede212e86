"""Webhooks end to end with live vendors: the Sandbox CRM with real processes, and a localstripe that signs its own."""

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from app.clock import now
from app.services import connections, credentials, endpoints, installations, listings
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sdk import Connector, Secret
from connectors.sdk.oauth import TokenSet
from jobs import drain as drain_module
from tests.connectors.sandbox.running import Running, call
from tests.connectors.stripe.conftest import localstripe, packages, stripe  # noqa: F401  # fixtures
from tests.connectors.stripe.local import KEY, Front, LocalConnector
from tests.factories.endpoints import make_secret
from tests.factories.tenants import make_tenant
from tests.factories.versions import change_manifest
from tests.processes import Processes, wait_for

Owner = psycopg.Connection[Any]


def ask(owner: Owner, query: str, *values: Any) -> Any:
    row = owner.execute(query, values).fetchone()
    return row[0] if row else None


def record_of(owner: Owner, external_id: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = ask(
        owner,
        "SELECT r.data FROM links l JOIN records r ON r.tenant_id = l.tenant_id AND r.id = l.record_id "
        "WHERE l.external_id = %s AND l.deleted_at IS NULL AND r.deleted_at IS NULL",
        external_id,
    )
    return found


@pytest.fixture
def sandbox() -> Iterator[Running]:
    found = Running()
    found.store.execute("DELETE FROM records WHERE object <> 'contacts' OR rowid % 50 <> 1")
    yield found
    found.stop()


def install(tenant_id: uuid.UUID, vendor: Running) -> uuid.UUID:
    """Activate an installation that is connected to a Sandbox CRM; the caller has bound the tenant."""
    made = installations.create_installation(tenant_id, "sandbox", user_id=uuid.uuid4())
    connection = connections.get_connection(tenant_id, made.connection_id)
    connection.settings = {"server": vendor.origin}
    connection.state, connection.account_id, connection.tested_at = "ready", "acme", now()
    credentials.save_tokens(tenant_id, connection.id, TokenSet(Secret(vendor.access()), None, None))
    installations.activate(tenant_id, made.id, user_id=uuid.uuid4())
    return made.id


def test_the_sandbox_crm_tells_and_it_is_applied(
    apps: dict[str, Flask], clean: None, owner: Owner, environment: dict[str, str], sandbox: Running, tmp_path: Path
) -> None:
    """Activated, subscribed by the worker, told by the vendor's own sender, applied; exchanged, told again; removed."""
    processes = Processes(environment, tmp_path / "log")
    processes.start("web", "dispatcher", "fast-1", "sync-1")
    try:
        tenant_id = make_tenant(apps)

        def act(what: Any) -> Any:
            with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
                return what()

        installation_id = act(lambda: install(tenant_id, sandbox))
        wait_for(lambda: ask(owner, "SELECT state FROM endpoints") == "active", about="the subscription")
        wait_for(lambda: ask(owner, "SELECT state FROM runs") == "done", about="the first run")
        (subscription,) = sandbox.store.all_of("subscription").values()
        assert subscription["url"].startswith(f"{processes.url}/hooks/")
        name = sandbox.store.execute("SELECT id FROM records")[0][0]
        began = time.monotonic()
        sandbox.store.save("contacts", name, {"firstname": "Told"})
        wait_for(lambda: (record_of(owner, name) or {}).get("first_name") == "Told", every=0.02, about="the change")
        took = time.monotonic() - began
        made = sandbox.store.save("contacts", None, {"firstname": "New", "email": "new@x.test"})["id"]
        wait_for(lambda: record_of(owner, made), about="the new one")
        act(lambda: endpoints.ask_rotation(tenant_id, installation_id))
        wait_for(lambda: list(sandbox.store.all_of("subscription")) != [subscription["id"]], about="the exchange")
        wait_for(lambda: len(sandbox.store.all_of("subscription")) == 1, about="the end of the old one")
        sandbox.store.delete("contacts", made)
        wait_for(lambda: record_of(owner, made) is None, about="the delete")
        assert ask(owner, "SELECT count(*) FROM deliveries WHERE verdict NOT IN ('accepted', 'duplicate')") == 0
        print(f"\nTOLD TO APPLIED {took * 1000:.0f} ms")
        act(lambda: installations.remove(tenant_id, installation_id, delete_records=False))
        wait_for(lambda: sandbox.store.all_of("subscription") == {}, about="the removal")
    finally:
        processes.stop()


def test_a_subscription_is_renewed_before_it_ends(
    apps: dict[str, Flask], clean: None, owner: Owner, environment: dict[str, str], tmp_path: Path
) -> None:
    """Subscriptions last nine seconds here: made, shown with their end, renewed in time, told through all along, ended."""
    vendor, processes = Running(subscription=9), Processes(environment, tmp_path / "log")
    vendor.store.execute("DELETE FROM records WHERE object <> 'contacts' OR rowid % 50 <> 1")
    processes.start("web", "dispatcher", "fast-1", "sync-1")
    try:
        tenant_id = make_tenant(apps)
        with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
            installation_id = install(tenant_id, vendor)
        wait_for(lambda: ask(owner, "SELECT state FROM endpoints") == "active", about="the subscription")
        wait_for(lambda: ask(owner, "SELECT state FROM runs") == "done", about="the first run")
        first = ask(owner, "SELECT expires_at FROM endpoints")
        (subscription,) = vendor.store.all_of("subscription").values()
        assert first == datetime.fromisoformat(subscription["expires_at"])
        name = vendor.store.execute("SELECT id FROM records")[0][0]
        told = 0
        while now() < first + timedelta(seconds=6):
            told += 1
            vendor.store.save("contacts", name, {"firstname": f"Told {told}"})
            wait_for(
                lambda text=f"Told {told}": (record_of(owner, name) or {})["first_name"] == text, about=f"change {told}"
            )
            time.sleep(1)
        assert list(vendor.store.all_of("subscription")) == [subscription["id"]]
        assert ask(owner, "SELECT expires_at FROM endpoints") > first
        assert ask(owner, "SELECT count(*) FROM deliveries WHERE verdict = 'accepted'") == told
        print(f"\nTOLD {told} LOST 0, over an end at {first:%H:%M:%S}")
        with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
            installations.remove(tenant_id, installation_id, delete_records=False)
        wait_for(lambda: vendor.store.all_of("subscription") == {}, about="the removal")
        assert ask(owner, "SELECT count(*) FROM deliveries WHERE verdict <> 'accepted'") == 0
    finally:
        processes.stop()
        vendor.stop()


def _by_hand(manifest: dict[str, Any]) -> None:
    manifest["webhooks"]["verify"] |= {"secret": "config", "secret_field": "hook_secret"}
    manifest["webhooks"]["subscribe"] = {"by_hand": "Enter the address there, and its secret here."}
    manifest["config"].append({"name": "hook_secret", "label": "Secret", "kind": "secret", "help": "Yours."})


def test_a_secret_that_a_person_has_entered_verifies(
    apps: dict[str, Flask], clean: None, owner: Owner, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person subscribes at the vendor with a secret of their own and enters it here; then they change both."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    server = make_server("127.0.0.1", 0, apps["web"], threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    tenant_id, token = make_tenant(apps), sandbox.access()
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        installation_id = install(tenant_id, sandbox)
    # Until now it is as the repository has it: what its activation waits for is done by the other version.
    change_manifest(owner, _by_hand)
    owner.execute("DELETE FROM endpoint_secrets")
    address = f"http://127.0.0.1:{server.port}/hooks/{ask(owner, 'SELECT address FROM endpoints')}"

    def enter(secret: str) -> None:
        with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
            connection = installations.get_installation(tenant_id, installation_id).connection_id
            credentials.seal_secret(tenant_id, connection, "hook_secret", secret)
            endpoints.look_again(tenant_id, installation_id)
        while drain_module.drain("fast"):
            pass

    def subscribe(secret: str) -> None:
        for known in sandbox.store.all_of("subscription"):
            sandbox.store.forget("subscription", known)
        call(sandbox, "POST", "/api/webhooks", token, json={"url": address, "secret": secret}).raise_for_status()

    def tell(text: str) -> str | None:
        sandbox.store.save("contacts", name, {"firstname": text})
        sandbox.events.wait()
        while drain_module.drain("fast"):
            pass
        return (record_of(owner, name) or {}).get("first_name")

    try:
        while drain_module.drain("sync"):
            pass
        name = sandbox.store.execute("SELECT id FROM records")[0][0]
        sandbox.events.pauses = (0.0,)
        first, second = make_secret("a" * 24), make_secret("b" * 24)
        subscribe(first)
        assert tell("Without a secret") != "Without a secret"
        enter(first)
        assert tell("First") == "First"
        subscribe(second)
        assert tell("Not entered yet") == "First"
        enter(second)
        assert tell("Second") == "Second"
        assert ask(owner, "SELECT state FROM endpoints") == "active"
        verdicts = "SELECT verdict, count(*)::int FROM deliveries GROUP BY 1"
        assert dict(owner.execute(verdicts).fetchall()) == {"accepted": 2, "bad_signature": 2}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_live_localstripe_signs_and_it_is_applied(
    apps: dict[str, Flask], clean: None, owner: Owner, stripe: Front, localstripe: str,  # noqa: F811  # fixtures
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """localstripe sends what it has signed itself to our address; what it names is fetched from it and applied."""
    local = LocalConnector(stripe.origin)
    known = listings.connector_of

    def connector_of(version: uuid.UUID) -> Connector:
        found = known(version)
        return local if found.manifest.slug == "stripe" else found

    monkeypatch.setattr(listings, "connector_of", connector_of)
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    server = make_server("127.0.0.1", 0, apps["web"], threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    tenant_id, secret = make_tenant(apps), "whsec_of_this_test"
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "stripe", user_id=uuid.uuid4())
        connection = connections.get_connection(tenant_id, made.connection_id)
        connection.state, connection.account_id, connection.tested_at = "ready", "acct_1test", now()
        credentials.seal_secret(tenant_id, connection.id, "key", KEY)
        installations.activate(tenant_id, made.id, user_id=uuid.uuid4())
        endpoint = endpoints.find(tenant_id, made.id)
        assert endpoint
        endpoints.add_secret(endpoint, secret)
        address = f"http://127.0.0.1:{server.port}/hooks/{endpoint.address}"
    hook = {"url": address, "secret": secret}
    try:
        requests.post(f"{localstripe}/_config/webhooks/ours", json=hook, timeout=5).raise_for_status()
        sent = {"email": "ada@example.com", "name": "Ada Byron"}
        answer = requests.post(f"{localstripe}/v1/customers", data=sent, auth=(KEY, ""), timeout=5)
        answer.raise_for_status()
        customer = answer.json()["id"]
        told = "SELECT count(*) FROM deliveries WHERE verdict = 'accepted'"
        wait_for(lambda: ask(owner, told) >= 1, about="localstripe's webhook")
        while drain_module.drain("fast"):
            pass
        record = record_of(owner, customer)
        assert record is not None
        assert record["email"] == "ada@example.com"
        requests.delete(f"{localstripe}/v1/customers/{customer}", auth=(KEY, ""), timeout=5).raise_for_status()
        wait_for(lambda: ask(owner, "SELECT count(*) FROM hints WHERE action = 'delete'") == 1, about="the delete")
        while drain_module.drain("fast"):
            pass
        assert record_of(owner, customer) is None
        assert ask(owner, "SELECT count(*) FROM deliveries WHERE verdict <> 'accepted'") == 0
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
