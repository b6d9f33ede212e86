"""Accounts: signing up and in, one-time links, passwords, and the owner a tenant always has."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.errors import ConflictError, InvalidError
from app.services import accounts
from app.tenancy import PLATFORM_TENANT
from tests.factories.people import People
from tests.factories.tasks import together

Owner = psycopg.Connection[Any]


@pytest.fixture
def people(apps: dict[str, Flask], clean: None) -> People:
    return People(apps)


def issue(people: People, user_id: uuid.UUID, purpose: str) -> str:
    return str(people.act(None, user_id, lambda: accounts.issue_token(user_id, purpose)))


def use(people: People, value: str, purpose: str) -> uuid.UUID:
    with people.web.app_context():
        found = accounts.find_token(value)
    assert found is not None, "there is no such token"
    return people.act(None, found[1], lambda: accounts.use_token(found[0], purpose)).id


def test_signing_up_makes_a_tenant_with_its_owner(people: People, owner: Owner) -> None:
    tenant_id, user_id = people.sign_up("Ada@Example.com", tenant="Aldgate")
    row = owner.execute(
        "SELECT t.name, m.user_id, m.role FROM tenants t JOIN memberships m ON m.tenant_id = t.id"
    ).fetchone()
    assert row == ("Aldgate", user_id, "owner")
    row = owner.execute("SELECT email, email_verified_at, password_hash FROM users").fetchone()
    assert row is not None
    assert row[:2] == ("Ada@Example.com", None)
    assert row[2].startswith("$argon2id$")
    row = owner.execute("SELECT action FROM audit WHERE tenant_id = %s", (tenant_id,)).fetchone()
    assert row == ("member.added",)


def test_an_address_has_one_account_whatever_its_case(people: People, owner: Owner) -> None:
    people.sign_up("ada@example.com")
    with pytest.raises(ConflictError) as refused:
        people.sign_up(" ADA@example.com ")
    assert refused.value.code == "email_taken"
    assert owner.execute("SELECT count(*) FROM users").fetchone() == (1,)


def test_two_who_sign_up_with_one_address_at_once_get_one_account(people: People, owner: Owner) -> None:
    def sign_up(_: int) -> str:
        try:
            people.sign_up("ada@example.com")
        except ConflictError as error:
            return error.code
        return "made"

    assert sorted(together(4, sign_up)) == ["email_taken"] * 3 + ["made"]
    assert owner.execute("SELECT count(*) FROM users").fetchone() == (1,)
    assert owner.execute("SELECT count(*) FROM tenants").fetchone() == (2,), "Platform and one more"


def test_a_short_password_is_refused_at_its_field(people: People) -> None:
    with pytest.raises(InvalidError) as refused:
        people.sign_up("ada@example.com", password="too short")
    assert "password" in refused.value.fields


def test_signing_in_tells_nobody_which_half_was_wrong(people: People) -> None:
    _, user_id = people.sign_up("ada@example.com", password="a long password")
    assert people.act(None, None, lambda: accounts.sign_in("ADA@example.com ", "a long password")).id == user_id
    texts = set()
    for email, password in (("ada@example.com", "a wrong password"), ("nobody@example.com", "a long password")):
        with pytest.raises(InvalidError) as refused:
            people.act(None, None, lambda email=email, password=password: accounts.sign_in(email, password))
        texts.add((refused.value.message, refused.value.code))
    assert len(texts) == 1


def test_a_hash_of_weaker_days_is_renewed_at_the_next_sign_in(people: People, owner: Owner) -> None:
    from argon2 import PasswordHasher

    people.sign_up("ada@example.com", password="a long password")
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("a long password")
    owner.execute("UPDATE users SET password_hash = %s", (weak,))
    with pytest.raises(InvalidError):
        people.act(None, None, lambda: accounts.sign_in("ada@example.com", "a wrong password"))
    assert owner.execute("SELECT password_hash FROM users").fetchone() == (weak,)
    people.act(None, None, lambda: accounts.sign_in("ada@example.com", "a long password"))
    assert owner.execute("SELECT password_hash FROM users").fetchone() != (weak,)
    people.act(None, None, lambda: accounts.sign_in("ada@example.com", "a long password"))


@pytest.mark.parametrize("purpose", ["verify_email", "reset_password"])
def test_a_link_works_once_and_for_its_purpose_only(people: People, purpose: str) -> None:
    _, user_id = people.sign_up("ada@example.com")
    other = {"verify_email": "reset_password", "reset_password": "verify_email"}[purpose]
    value = issue(people, user_id, purpose)
    with pytest.raises(InvalidError):
        use(people, value, other)
    assert use(people, value, purpose) == user_id
    with people.web.app_context():
        assert accounts.find_token(value) is None


def test_two_who_use_a_link_at_once_do_not_both_succeed(people: People) -> None:
    _, user_id = people.sign_up("ada@example.com")
    value = issue(people, user_id, "reset_password")
    with people.web.app_context():
        found = accounts.find_token(value)
    assert found is not None

    def attempt(_: int) -> str:
        try:
            people.act(None, user_id, lambda: accounts.use_token(found[0], "reset_password"))
        except InvalidError as error:
            return error.code
        return "used"

    assert sorted(together(4, attempt)) == ["link_used"] * 3 + ["used"]


@pytest.mark.parametrize(("purpose", "life"), [("verify_email", "3 days"), ("reset_password", "1 hour")])
def test_a_link_expires(people: People, owner: Owner, purpose: str, life: str) -> None:
    _, user_id = people.sign_up("ada@example.com")
    value = issue(people, user_id, purpose)
    row = owner.execute("SELECT expires_at - created_at BETWEEN %s::interval - interval '1 min' AND %s::interval "
                        "+ interval '1 min' FROM user_tokens", (life, life)).fetchone()  # fmt: skip
    assert row == (True,)
    owner.execute("UPDATE user_tokens SET expires_at = now() - interval '1 s'")
    with pytest.raises(InvalidError) as refused:
        use(people, value, purpose)
    assert refused.value.code == "link_used"


def test_only_the_hash_of_a_link_is_stored_and_its_mail_is_sealed(people: People, owner: Owner) -> None:
    tenant_id, user_id = people.sign_up("ada@example.com")
    people.act(tenant_id, user_id, lambda: accounts.send_verification(tenant_id, accounts.get_user(user_id)))
    people.act(PLATFORM_TENANT, user_id, lambda: accounts.send_reset(accounts.get_user(user_id)))
    rows = owner.execute("SELECT tenant_id, template, body_sealed FROM mails ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == [(tenant_id, "verify"), (PLATFORM_TENANT, "reset")]
    assert not [row for row in rows if b"/verify/" in row[2] or b"/reset/" in row[2] or b"http" in row[2]]
    row = owner.execute("SELECT count(*), max(length(token_hash)) FROM user_tokens").fetchone()
    assert row == (2, 32)


def test_a_new_password_ends_every_other_reset_link(people: People) -> None:
    _, user_id = people.sign_up("ada@example.com")
    first, second, address = (issue(people, user_id, name) for name in ("reset_password",) * 2 + ("verify_email",))

    def reset() -> None:
        found = accounts.find_token(second)
        assert found is not None
        accounts.set_password(accounts.use_token(found[0], "reset_password"), "another long password")

    people.act(None, user_id, reset)
    with people.web.app_context():
        assert accounts.find_token(first) is None
        assert accounts.find_token(address) is not None


def test_changing_a_password_needs_the_present_one(people: People) -> None:
    _, user_id = people.sign_up("ada@example.com", password="a long password")
    link = issue(people, user_id, "reset_password")
    with pytest.raises(InvalidError) as refused:
        people.act(
            PLATFORM_TENANT, user_id, lambda: accounts.change_password(user_id, "a wrong password", "another long one")
        )
    assert set(refused.value.fields) == {"old"}
    people.act(
        PLATFORM_TENANT, user_id, lambda: accounts.change_password(user_id, "a long password", "another long one")
    )
    people.act(None, None, lambda: accounts.sign_in("ada@example.com", "another long one"))
    with people.web.app_context():
        assert accounts.find_token(link) is None
