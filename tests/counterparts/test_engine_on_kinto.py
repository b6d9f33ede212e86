"""The engine against a real Kinto, worker functions called in this process."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import failed_records, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.counterparts.kinto import PASSWORD, Kinto, company, contact
from tests.factories.tenants import activate, connect_kinto, make_tenant

Owner = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    server = Kinto(Path(tmp_path_factory.mktemp("kinto"))).start()
    server.put_all("contacts", [contact(n) for n in range(250)])
    server.put_all("companies", [company(n) for n in range(30)])
    yield server
    server.stop()


@pytest.fixture
def drain(apps: dict[str, Flask], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return drain_module.drain


def counts(owner: Owner, run_id: uuid.UUID) -> dict[str, int]:
    names = ("read", "created", "updated", "linked", "unchanged", "deleted", "failed")
    columns = ", ".join(f"sum({name})::int" for name in names)
    row = owner.execute(f"SELECT {columns} FROM run_streams WHERE run_id = %s", (run_id,)).fetchone()
    assert row is not None
    return dict(zip(names, row, strict=True))


def last_run(owner: Owner) -> tuple[uuid.UUID, str]:
    row = owner.execute("SELECT id, state FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return row[0], row[1]


def sync_again(app: Flask, tenant_id: uuid.UUID, installation_id: uuid.UUID, drain: Any, **more: Any) -> None:
    with app.app_context(), bind_tenant(tenant_id), transaction():
        runs.start_run(tenant_id, installation_id, trigger="manual", **more)
    drain("sync")


def test_first_load_then_changes_then_deletes(
    apps: dict[str, Flask], clean: None, owner: Owner, kinto: Kinto, drain: Any
) -> None:
    tenant_id = make_tenant(apps)
    with apps["web"].app_context():
        installation_id = connect_kinto(tenant_id, kinto.origin, PASSWORD)
    drain("fast")
    state = owner.execute("SELECT state, account_name, error_message FROM connections").fetchone()
    assert state == ("ready", "crm", None)
    with apps["web"].app_context():
        run_id = activate(tenant_id, installation_id)
    drain("sync")
    assert last_run(owner) == (run_id, "done")
    assert counts(owner, run_id) == {
        "read": 280, "created": 280, "updated": 0, "linked": 0, "unchanged": 0, "deleted": 0, "failed": 0,
    }  # fmt: skip
    row = owner.execute("SELECT data FROM records WHERE data->>'email' = 'person7@example.test'").fetchone()
    assert row is not None
    assert row[0]["full_name"] == "Ada Byron 7"

    kinto.put_all("contacts", [contact(3, city="Oslo"), contact(900), contact(901, email="nobody")])
    kinto.delete("contacts", "contact-5")
    sync_again(apps["web"], tenant_id, installation_id, drain)
    found = counts(owner, last_run(owner)[0])
    assert found == {"read": 3, "created": 1, "updated": 1, "linked": 0, "unchanged": 0, "deleted": 1, "failed": 1}
    failed = owner.execute("SELECT external_id, state, message, field FROM failed_records").fetchone()
    assert failed == ("contact-901", "waiting", "E-mail: “nobody” is not an e-mail address.", "email")
    problem = owner.execute("SELECT message, count FROM problems WHERE state = 'open'").fetchone()
    assert problem == ("1 record of contacts: E-mail: “nobody” is not an e-mail address.", 1)

    kinto.put_all("contacts", [contact(901, email="somebody@example.test")])
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        assert failed_records.retry(tenant_id, installation_id) == 1
    drain("sync")
    assert owner.execute("SELECT state FROM failed_records").fetchone() == ("resolved",)
    assert owner.execute("SELECT count(*) FROM problems WHERE state = 'open'").fetchone() == (0,)

    sync_again(apps["web"], tenant_id, installation_id, drain, mode="full")
    found = counts(owner, last_run(owner)[0])
    assert (found["read"], found["unchanged"], found["created"]) == (281, 281, 0)
    assert owner.execute("SELECT count(*) FROM records WHERE deleted_at IS NULL").fetchone() == (281,)
