"""Invitations: one link, one address, once."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.crypto import token_hash
from app.errors import InvalidError, NotFoundError
from app.services import accounts, invitations
from tests.factories.people import People
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]


@pytest.fixture
def people(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    return People(apps)


@pytest.fixture
def ada(people: People) -> tuple[uuid.UUID, uuid.UUID]:
    return people.sign_up("ada@example.com")


def invite(
    people: People, ada: tuple[uuid.UUID, uuid.UUID], email: str = "Bob@Example.com", role: str = "admin"
) -> str:
    return str(
        people.act(*ada, lambda: invitations.invite(ada[0], "Aldgate", email, role, user=accounts.get_user(ada[1])))
    )


def accept(people: People, value: str, user_id: uuid.UUID) -> None:
    with people.web.app_context():
        found = invitations.find(value)
    assert found is not None
    people.act(found[0], user_id, lambda: invitations.accept(*found, accounts.get_user(user_id)))


def stranger(people: People, email: str) -> uuid.UUID:
    return people.sign_up(email, tenant="Elsewhere")[1]


def test_the_link_lets_the_address_in_with_its_role(people: People, ada: Any, owner: Owner) -> None:
    value, bob = invite(people, ada), stranger(people, "bob@example.COM")
    accept(people, value, bob)
    row = owner.execute("SELECT role FROM memberships WHERE tenant_id = %s AND user_id = %s", (ada[0], bob)).fetchone()
    assert row == ("admin",)
    assert people.act(*ada, lambda: invitations.list_open(ada[0])) == []
    actions = owner.execute("SELECT action FROM audit WHERE tenant_id = %s ORDER BY id", (ada[0],)).fetchall()
    assert actions == [("member.added",), ("member.invited",), ("member.added",)]


def test_the_link_is_in_a_sealed_mail_and_stored_as_a_hash(people: People, ada: Any, owner: Owner) -> None:
    value = invite(people, ada)
    assert owner.execute("SELECT token_hash, email FROM invitations").fetchone() == (
        token_hash(value),
        "bob@example.com",
    )
    row = owner.execute("SELECT template, body_sealed FROM mails").fetchone()
    assert row is not None
    assert row[0] == "invitation"
    assert value.encode() not in row[1]


def test_a_link_works_once(people: People, ada: Any, owner: Owner) -> None:
    value, bob = invite(people, ada), stranger(people, "bob@example.com")
    accept(people, value, bob)
    owner.execute("DELETE FROM memberships WHERE user_id = %s AND tenant_id = %s", (bob, ada[0]))
    with pytest.raises(InvalidError) as refused:
        accept(people, value, bob)
    assert refused.value.code == "link_used"


def test_a_link_accepted_twice_at_once_is_accepted_once(people: People, ada: Any, owner: Owner) -> None:
    value, bob = invite(people, ada), stranger(people, "bob@example.com")

    def attempt(_: int) -> str:
        try:
            accept(people, value, bob)
        except InvalidError as error:
            return error.code
        return "in"

    assert sorted(together(4, attempt)) == ["in"] + ["link_used"] * 3
    row = owner.execute("SELECT count(*) FROM memberships WHERE tenant_id = %s", (ada[0],)).fetchone()
    assert row == (2,)


def test_a_link_is_for_its_address_only(people: People, ada: Any, owner: Owner) -> None:
    value = invite(people, ada)
    with pytest.raises(InvalidError) as refused:
        accept(people, value, stranger(people, "eve@example.com"))
    assert refused.value.code == "other_address"
    accept(people, value, stranger(people, "bob@example.com"))


def test_a_link_expires_after_a_week(people: People, ada: Any, owner: Owner) -> None:
    value, bob = invite(people, ada), stranger(people, "bob@example.com")
    row = owner.execute(
        "SELECT expires_at - now() BETWEEN interval '6 days 23 h' AND interval '7 days' FROM invitations"
    ).fetchone()
    assert row == (True,)
    owner.execute("UPDATE invitations SET expires_at = now() - interval '1 s'")
    assert people.act(*ada, lambda: invitations.list_open(ada[0])) == []
    with pytest.raises(InvalidError) as refused:
        accept(people, value, bob)
    assert refused.value.code == "link_used"


def test_a_link_taken_back_is_unknown_and_only_its_tenant_takes_it_back(people: People, ada: Any) -> None:
    value, zoe = invite(people, ada), people.sign_up("zoe@example.com")
    with people.web.app_context():
        found = invitations.find(value)
    assert found is not None
    for tenant_id in (zoe[0], ada[0]):
        with pytest.raises(NotFoundError):
            people.act(zoe[0], zoe[1], lambda tenant_id=tenant_id: invitations.revoke(tenant_id, found[1]))
    people.act(*ada, lambda: invitations.revoke(*found))
    with people.web.app_context():
        assert invitations.find(value) is None


def test_who_is_a_member_already_keeps_the_role(people: People, ada: Any, owner: Owner) -> None:
    accept(people, invite(people, ada, "ada@example.com", "member"), ada[1])
    row = owner.execute("SELECT role FROM memberships WHERE user_id = %s", (ada[1],)).fetchone()
    assert row == ("owner",)


def test_a_new_person_joins_by_the_link_and_is_not_verified_by_it(
    people: People, ada: Any, owner: Owner, client: FlaskClient
) -> None:
    """The link was shown to who invited: having it proves no address."""
    value = invite(people, ada, role="member")
    assert client.get(f"/invitations/{value}").status_code == 200
    form = {"name": "Bob", "password": "a long password"}
    assert client.post(f"/invitations/{value}", data=form).status_code == 303
    assert client.get("/members").status_code == 200
    row = owner.execute("SELECT m.role, u.email_verified_at FROM users u JOIN memberships m ON m.user_id = u.id "
                        "WHERE lower(u.email) = 'bob@example.com'").fetchone()  # fmt: skip
    assert row == ("member", None)
    assert people.web.test_client().post(f"/invitations/{value}", data=form).status_code == 422


def test_an_address_with_an_account_must_sign_in_first(
    people: People, ada: Any, owner: Owner, client: FlaskClient
) -> None:
    value, bob = invite(people, ada), stranger(people, "bob@example.com")
    form = {"name": "Not Bob", "password": "a long password"}
    assert client.post(f"/invitations/{value}", data=form).status_code == 422
    row = owner.execute("SELECT count(*) FROM memberships WHERE user_id = %s", (bob,)).fetchone()
    assert row == (1,)
