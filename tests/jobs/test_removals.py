"""Removing an installation: what it does is told in numbers, deleting takes the name, and a worker deletes in batches."""

import re
import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import exports, installations, removals
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.tenants import connect_kinto, make_tenant
from tests.house.test_privileges import client_of, sign_in

Owner = psycopg.Connection[Any]


class Site:
    """An installation with 25 records of its own, one that another installation links too, and one the host has named."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            self.mine, self.other = (connect_kinto(self.tenant_id, f"http://127.0.0.1:{n}", "password") for n in (1, 2))
        owner.execute("UPDATE installations SET state = 'active', name = 'CRM of ' || id")
        owner.execute("DELETE FROM tasks")
        self.own = [self.record("contacts", f"c{number:02}") for number in range(25)]
        self.shared, self.named = self.record("contacts", "shared"), self.record("contacts", "named", host_id="4711")
        self.link(self.shared, "contacts", "theirs", of=self.other)
        self.record("contacts", "foreign", of=self.other)

    def record(self, stream: str, external_id: str, *, host_id: str | None = None, of: Any = None) -> uuid.UUID:
        made = uuid.uuid4()
        self.owner.execute(
            "INSERT INTO records (tenant_id, id, object_type, data, hash, external_id) VALUES (%s, %s, 'contact', '{}', '', %s)",
            (self.tenant_id, made, host_id),
        )
        self.link(made, stream, external_id, of=of)
        return made

    def link(self, record_id: uuid.UUID, stream: str, external_id: str, *, of: Any = None) -> None:
        self.owner.execute(
            "INSERT INTO links (tenant_id, id, installation_id, stream, external_id, record_id, base, source_hash, "
            "mapping_version) VALUES (%s, gen_random_uuid(), %s, %s, %s, %s, '{}', '', 1)",
            (self.tenant_id, of or self.mine, stream, external_id, record_id),
        )

    def act(self, what: Any, *values: Any, process: str = "web", **more: Any) -> Any:
        with self.apps[process].app_context(), bind_tenant(self.tenant_id), transaction():
            return what(self.tenant_id, *values, **more)

    @property
    def name(self) -> str:
        return f"CRM of {self.mine}"

    @property
    def path(self) -> str:
        return f"/installations/{self.mine}/remove"

    def deleted(self) -> set[uuid.UUID]:
        return {row[0] for row in self.owner.execute("SELECT id FROM records WHERE deleted_at IS NOT NULL").fetchall()}

    def state(self) -> Any:
        row = self.owner.execute("SELECT state, removal FROM installations WHERE id = %s", (self.mine,)).fetchone()
        assert row
        return row


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    yield Site(apps, owner)
    apps["web"].config["WTF_CSRF_ENABLED"] = True


@pytest.fixture
def admin(site: Site) -> FlaskClient:
    return client_of(site.apps, sign_in(site.apps, "admin", site.tenant_id))


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.get_data(as_text=True)))


def test_the_page_says_in_numbers_what_it_does(site: Site, admin: FlaskClient) -> None:
    values = {"t": site.tenant_id, "i": site.mine}
    for number, state in enumerate(("planned", "sent", "confirmed")):
        site.owner.execute(
            "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, state) VALUES (%s, gen_random_uuid(), "
            "%s, 'contacts', %s, %s)",
            (site.tenant_id, site.mine, site.own[number], state),
        )
    site.owner.execute(
        "INSERT INTO conflicts (tenant_id, id, installation_id, stream, external_id, kind) VALUES (%(t)s, "
        "gen_random_uuid(), %(i)s, 'contacts', 'c00', 'fields')",
        values,
    )
    page = text(admin.get(site.path))
    assert "27 linked records" in page
    assert "Delete the 25 that only this installation has brought" in page
    assert "2 changes wait" in page
    assert "1 open conflictIs closed undecided" in page
    assert "Kinto does not let other products give access back" in page
    assert site.state()[0] == "active"


def test_deleting_takes_the_name_and_keeping_does_not(site: Site, admin: FlaskClient) -> None:
    for typed in ("", "CRM", site.name.upper()):
        answer = admin.post(site.path, data={"records": "delete", "name": typed})
        assert answer.status_code == 422
        assert "as it is written" in text(answer)
    assert site.state()[0] == "active"
    assert admin.post(site.path, data={"records": "keep"}).status_code == 303
    assert site.state()[0] == "removed"
    assert site.deleted() == set()
    assert "kept" in text(admin.get(f"/installations/{site.mine}"))


def test_only_what_nobody_else_has_is_deleted(site: Site, admin: FlaskClient) -> None:
    assert admin.post(site.path, data={"records": "delete", "name": site.name}).status_code == 303
    assert site.deleted() == set(site.own)
    page = text(admin.get(f"/installations/{site.mine}"))
    assert "25 deleted that only it had brought" in page
    assert "Removed by Admin" in page
    written = site.owner.execute("SELECT count(*), min(writer) FROM changes WHERE operation = 'deleted'").fetchone()
    assert written == (25, "Admin, who removed it")
    # A second click changes nothing.
    assert admin.post(site.path, data={"records": "delete", "name": site.name}).status_code == 303
    assert site.state()[1]["deleted"] == 25


def test_many_are_deleted_by_a_worker_which_may_be_killed(
    site: Site, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "BATCH", 4)
    assert admin.post(site.path, data={"records": "delete", "name": site.name}).status_code == 303
    assert len(site.deleted()) == 4
    assert "4 deleted so far, more follow" in text(admin.get(f"/installations/{site.mine}"))

    def killed(tenant_id: uuid.UUID) -> None:
        removals.delete_batch(tenant_id, site.mine)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        site.act(killed, process="worker")
    assert len(site.deleted()) == 4
    site.owner.execute("DELETE FROM tasks WHERE kind <> 'delete_brought'")
    assert drain_module.drain("sync") == 1
    assert site.deleted() == set(site.own)
    assert site.state()[1]["done"]
    live = site.owner.execute(
        "SELECT count(*) FROM links WHERE installation_id = %s AND deleted_at IS NULL", (site.mine,)
    )
    assert live.fetchone() == (0,)
    others = site.owner.execute(
        "SELECT count(*) FROM links WHERE installation_id = %s AND deleted_at IS NULL", (site.other,)
    )
    assert others.fetchone() == (2,)


def test_what_two_removed_installations_share_goes_with_the_second(site: Site) -> None:
    site.act(installations.remove, site.other, delete_records=True)
    assert site.shared not in site.deleted()
    site.act(installations.remove, site.mine, delete_records=True)
    assert site.shared in site.deleted()
    assert site.named not in site.deleted()


def test_an_export_that_is_being_made_is_waited_for(site: Site, admin: FlaskClient) -> None:
    site.act(exports.request, site.mine, "csv", user_id=None)
    answer = admin.post(site.path, data={"records": "keep"})
    assert answer.status_code == 409
    assert "An export is being made." in text(answer)
    assert site.state()[0] == "active"
    site.owner.execute("DELETE FROM tasks WHERE kind <> 'make_export'")
    drain_module.drain("sync")
    assert "An export was made" in text(admin.get(site.path))
    assert admin.post(site.path, data={"records": "keep"}).status_code == 303


def test_a_member_cannot_remove_it(site: Site) -> None:
    member = client_of(site.apps, sign_in(site.apps, "member", site.tenant_id))
    assert member.get(site.path).status_code == 403
    assert member.post(site.path, data={"records": "keep"}).status_code == 403
