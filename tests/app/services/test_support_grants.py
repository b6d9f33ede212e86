"""Support reads a tenant only while it may, writes nothing, and each look is in the tenant's audit log first."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import InternalError

from app.db import db
from app.errors import InvalidError, NotFoundError
from app.models.accounts import StaffRole
from app.services import accounts, installation_list, installations, sessions, support_grants
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.tenants import connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
REASON = "Contacts are missing"


class Site:
    """A tenant with an installation, its people, and somebody of support."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner = apps, owner
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context():
            connect_kinto(self.tenant_id, "http://127.0.0.1:1", "password")

    def act(self, what: Callable[[], Any], *, read_only: bool = False) -> Any:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id, read_only=read_only), transaction():
            return what()

    def grant(self, hours: int = 4) -> None:
        self.act(lambda: support_grants.grant(self.tenant_id, uuid.uuid4(), hours=hours, reason=REASON))

    def live(self) -> Any:
        return self.act(lambda: support_grants.find_live(self.tenant_id))

    def sign_in(self, role: str) -> FlaskClient:
        """Return the browser of a member with a role, or of staff."""
        app, tenant_id = self.apps["owner"], None if role in ("support", "operator") else self.tenant_id
        with app.app_context(), bind_tenant(tenant_id), transaction():
            user = accounts.make_user(f"{uuid.uuid4().hex}@example.com", role.capitalize(), "a long password")
            if tenant_id:
                accounts.add_member(tenant_id, user.id, role)
            else:
                db.session.add(StaffRole(user_id=user.id, role=role))
            cookie = sessions.start_session(user.id, tenant_id, app.extensions["settings"], ip="", user_agent="")
        browser = self.apps["web"].test_client()
        browser.set_cookie("patchbay", cookie)
        return browser

    def audited(self) -> list[tuple[Any, ...]]:
        return self.owner.execute(
            "SELECT action, actor, subject FROM audit WHERE tenant_id = %s AND action LIKE 'support.%%' ORDER BY id",
            (self.tenant_id,),
        ).fetchall()


@pytest.fixture
def site(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    return Site(apps, owner)


def test_a_grant_lives_until_its_hours_are_over(site: Site) -> None:
    assert site.live() is None
    site.grant(hours=4)
    row = site.owner.execute("SELECT extract(epoch FROM expires_at - created_at) FROM support_grants").fetchone()
    assert row == (4 * 3600,)
    assert site.live().reason == REASON
    site.owner.execute("UPDATE support_grants SET created_at = created_at - interval '4 h', expires_at = now()")
    assert site.live() is None


@pytest.mark.parametrize("hours", [0, 73, 1000])
def test_no_grant_is_longer_than_three_days(site: Site, hours: int) -> None:
    with pytest.raises(InvalidError):
        site.grant(hours=hours)
    with pytest.raises(psycopg.errors.CheckViolation):
        site.owner.execute(
            "INSERT INTO support_grants (tenant_id, id, granted_by, reason, expires_at) "
            "VALUES (%s, gen_random_uuid(), gen_random_uuid(), '', now() + interval '73 h')", (site.tenant_id,),
        )  # fmt: skip


def test_a_grant_can_be_ended_and_a_new_one_replaces_it(site: Site) -> None:
    site.grant(72)
    site.grant(1)
    rows = site.owner.execute("SELECT ended_at IS NULL FROM support_grants ORDER BY created_at").fetchall()
    assert rows == [(False,), (True,)]
    site.act(lambda: support_grants.end(site.tenant_id))
    assert site.live() is None
    assert [row[0] for row in site.audited()] == ["support.granted", "support.granted", "support.ended"]


def test_no_login_role_can_lengthen_a_grant(site: Site, environment: dict[str, str]) -> None:
    longer, gone = "UPDATE support_grants SET expires_at = now()", "DELETE FROM support_grants"
    # A worker deletes them with all else of a tenant that is erased.
    for role, statements in (("WEB", (longer, gone)), ("WORKER", (longer,))):
        with psycopg.connect(environment[f"PATCHBAY_{role}_URL"]) as connection:
            for statement in statements:
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement)


def test_a_reading_writes_nothing(site: Site) -> None:
    """Red without READ ONLY: the services that read are those that write."""
    (row,) = site.owner.execute("SELECT id FROM installations").fetchall()
    with pytest.raises(InternalError, match="read-only transaction"):
        site.act(lambda: installations.rename(site.tenant_id, row[0], "Other"), read_only=True)
    assert (
        site.act(
            lambda: len(installation_list.by_id(site.tenant_id, row)),
            read_only=True,
        )
        == 1
    )
    site.act(lambda: installations.rename(site.tenant_id, row[0], "Other"))


def test_support_reads_under_a_grant_and_is_in_the_audit_log(site: Site) -> None:
    support, page = site.sign_in("support"), f"/fleet/{site.tenant_id}"
    assert support.get(page).status_code == 404
    assert "Kinto" not in support.get(page).get_data(as_text=True)
    assert f'href="{page}"' not in support.get("/fleet").get_data(as_text=True)
    site.grant()
    assert f'href="{page}"' in support.get("/fleet").get_data(as_text=True)
    answer = support.get(page)
    assert answer.status_code == 200
    assert REASON in answer.get_data(as_text=True)
    assert "Kinto" in answer.get_data(as_text=True)
    assert site.audited()[1:] == [("support.read", "Support", "installations")]
    site.act(lambda: support_grants.end(site.tenant_id))
    assert support.get(page).status_code == 404
    assert len(site.audited()) == 3


def test_support_sees_how_often_each_installation_was_told_of_changes_that_needed_no_write(site: Site) -> None:
    site.owner.execute(
        "INSERT INTO intents (tenant_id, id, installation_id, stream, record_id, state, told, repeated, settled_at) "
        "SELECT tenant_id, gen_random_uuid(), id, 'contacts', gen_random_uuid(), 'confirmed', told, repeated, at "
        "FROM installations, (VALUES (24, false, now()), (20, true, now()), (1, true, now()), (1, false, now()), "
        "(99, true, now() - interval '25 hours')) AS t(told, repeated, at)"
    )
    site.grant()
    page = site.sign_in("support").get(f"/fleet/{site.tenant_id}").get_data(as_text=True)
    assert re.findall(r'<td class="num"[^>]*>(\d+)</td>', page) == ["42", "2"]


def test_what_cannot_be_audited_is_not_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    support = site.sign_in("support")
    site.grant()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr(support_grants.audit, "write", broken)
    answer = support.get(f"/fleet/{site.tenant_id}")
    assert answer.status_code == 500
    assert "Kinto" not in answer.get_data(as_text=True)


def test_a_grant_of_one_tenant_opens_no_other(site: Site) -> None:
    other = Site(site.apps, site.owner)
    site.grant()
    assert site.sign_in("support").get(f"/fleet/{other.tenant_id}").status_code == 404
    with pytest.raises(NotFoundError):
        other.act(lambda: support_grants.require_live(site.tenant_id))


def test_admins_let_support_in_on_the_members_page(site: Site) -> None:
    admin, member = site.sign_in("admin"), site.sign_in("member")
    form = {"hours": "24", "reason": REASON}
    assert "/members/support" not in member.get("/members").get_data(as_text=True)
    assert member.post("/members/support", data=form).status_code == 403
    assert admin.post("/members/support", data={"hours": "24"}).status_code == 422
    assert admin.post("/members/support", data={**form, "hours": "500"}).status_code == 422
    assert site.live() is None
    assert admin.post("/members/support", data=form).status_code == 303
    assert REASON in member.get("/members").get_data(as_text=True)
    assert "/members/support/end" not in member.get("/members").get_data(as_text=True)
    assert member.post("/members/support/end").status_code == 403
    assert admin.post("/members/support/end").status_code == 303
    assert site.live() is None
    assert site.audited() == [("support.granted", "Admin", ""), ("support.ended", "Admin", "")]
