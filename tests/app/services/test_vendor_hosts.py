"""The vendor's host is on every task that calls a vendor, so that the cap of a host counts something."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import failed_records, installations, previews, runs, schedules, vendor_hosts
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
HOST = "crm.example.com:8888"


@pytest.fixture
def tenant_id(apps: dict[str, Flask], clean: None) -> uuid.UUID:
    return make_tenant(apps)


@pytest.fixture
def installation_id(app: Flask, tenant_id: uuid.UUID, owner: Owner) -> uuid.UUID:
    """An installation whose connection works."""
    made = connect_kinto(tenant_id, f"http://{HOST.upper()}", "password")
    owner.execute("UPDATE connections SET state = 'ready', account_id = 'a', account_name = 'A', tested_at = now()")
    owner.execute("DELETE FROM tasks")
    return made


def hosts(owner: Owner) -> dict[str, str | None]:
    return dict(owner.execute("SELECT kind, host FROM tasks WHERE kind <> 'notify'").fetchall())


def test_the_host_is_that_of_the_origin(
    app: Flask, tenant_id: uuid.UUID, installation_id: uuid.UUID, owner: Owner
) -> None:
    row = owner.execute("SELECT connection_id FROM installations").fetchone()
    assert row is not None
    with bind_tenant(tenant_id), transaction():
        assert vendor_hosts.host_of(tenant_id, installation_id) == HOST
        assert vendor_hosts.host_of_connection(tenant_id, row[0]) == HOST
        assert vendor_hosts.host_of(tenant_id, uuid.uuid4()) is None


def test_an_address_not_given_yet_is_no_host(app: Flask, tenant_id: uuid.UUID) -> None:
    with bind_tenant(tenant_id), transaction():
        made = installations.create_installation(tenant_id, "kinto", user_id=uuid.uuid4())
        assert vendor_hosts.host_of(tenant_id, made.id) is None


def test_runs_previews_and_retries_name_the_host(
    app: Flask, tenant_id: uuid.UUID, installation_id: uuid.UUID, owner: Owner
) -> None:
    with bind_tenant(tenant_id), transaction():
        installations.activate(tenant_id, installation_id, user_id=uuid.uuid4())
        previews.ask(tenant_id, installation_id, "sample", stream="contacts")
    owner.execute(
        "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, code, message, retry_at) "
        "VALUES (%s, gen_random_uuid(), %s, 'contacts', '1', 'invalid', 'm', now())", (tenant_id, installation_id),
    )  # fmt: skip
    with bind_tenant(tenant_id), transaction():
        failed_records.queue_retries(tenant_id, installation_id)
    assert hosts(owner) == {"sync": HOST, "preview": HOST, "retry_records": HOST}


def test_a_schedule_names_the_host_of_its_last_run(
    app: Flask, apps: dict[str, Flask], tenant_id: uuid.UUID, installation_id: uuid.UUID, owner: Owner
) -> None:
    """The dispatcher cannot look it up."""

    def fire() -> dict[str, str | None]:
        owner.execute("DELETE FROM tasks")
        owner.execute("UPDATE schedules SET next_due_at = now() - interval '1 s', active = true")
        with apps["dispatcher"].app_context(), transaction():
            assert schedules.fire_due() == 1
        return hosts(owner)

    with bind_tenant(tenant_id), transaction():
        installations.activate(tenant_id, installation_id, user_id=uuid.uuid4())
    assert fire() == {"sync": HOST}
    owner.execute('UPDATE connections SET settings = settings || \'{"server": "http://new.example.com"}\'')
    owner.execute("DELETE FROM runs")
    with apps["worker"].app_context(), bind_tenant(tenant_id), transaction():
        assert runs.begin(tenant_id, installation_id) is not None
    assert fire() == {"sync": "new.example.com"}
