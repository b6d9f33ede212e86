"""Eight processes see one expired token; the vendor rotates tokens and ends the grant on reuse (O01)."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from app.clock import now
from app.devstack.process import spawn, stop
from app.services import connections, credentials, installations, listings
from app.tenancy import bind_tenant
from app.transaction import transaction
from connectors.sandbox.vendor.store import Store
from connectors.sdk import Secret
from connectors.sdk.oauth import TokenSet
from tests.factories.tenants import make_tenant
from tests.processes import ROOT, free_port, wait_for

REFRESH = """
import sys, uuid
from app import create_app
from app.tenancy import bind_tenant
from jobs.vendor import vendor_session
with create_app("worker").app_context(), bind_tenant(uuid.UUID(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
    connector, session = vendor_session(uuid.UUID(sys.argv[1]), uuid.UUID(sys.argv[2]))
    connector.check(session)
    print("works", flush=True)
"""


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    child = spawn(
        [sys.executable, "-m", "connectors.sandbox.vendor", "--port", str(port), "--data", str(tmp_path)], cwd=ROOT
    )
    wait_for(lambda: (tmp_path / "sandbox.sqlite").exists(), about="the vendor")
    yield f"http://127.0.0.1:{port}"
    stop(child)


def test_one_refresh_for_eight_processes(
    environment: dict[str, str], apps: dict[str, Flask], clean: None, vendor: str, tmp_path: Path
) -> None:
    """One call of the token endpoint, and all eight work. Red without the lease on the credential row."""
    tenant_id, user_id = make_tenant(apps), uuid.uuid4()
    store = Store(tmp_path / "sandbox.sqlite")
    about = {"grant": "grant-1", "account": "acme", "scope": "crm.read"}
    store.put("refresh", "old-refresh-token", {**about, "used": False})
    with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "sandbox", user_id=user_id)
        connection = connections.get_connection(tenant_id, made.connection_id)
        connections.save_settings(connection, listings.manifest_of(made.listing_version_id), {"server": vendor})
        connection.state = "ready"
        expired = TokenSet(Secret("old-access"), Secret("old-refresh-token"), now() - timedelta(hours=1))
        credentials.save_tokens(tenant_id, connection.id, expired, after_version=0)
        arguments = [str(tenant_id), str(made.id)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", REFRESH, *arguments], env={**os.environ, **environment}, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(8)
    ]  # fmt: skip
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate(timeout=30)[0] for child in children]
    calls = store.get("count", "token_calls")
    print(
        f"\nREFRESHES {calls}/1 WORK {answers.count('works' + chr(10))}/8 GRANT {'dead' if store.get('revoked', 'grant-1') else 'alive'}"
    )
    assert answers == ["works\n"] * 8
    assert calls == 1
    assert store.get("revoked", "grant-1") is None
    with psycopg.connect(environment["PATCHBAY_OWNER_URL"]) as owner:
        row = owner.execute("SELECT version, sealed FROM credentials WHERE field = 'oauth'").fetchone()
    assert row is not None
    assert row[0] == 2
    assert b"refresh" not in row[1]
