"""Acts about one's own account are audited in the transaction that does them."""

from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import accounts, audit
from app.tenancy import PLATFORM_TENANT
from tests.factories.people import People

Owner = psycopg.Connection[Any]
EMAIL, PASSWORD, OTHER = "ada@example.com", "a long password", "another long password"


@pytest.fixture
def people(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    return People(apps)


@pytest.fixture
def user_id(people: People) -> Any:
    return people.sign_up(EMAIL, password=PASSWORD)[1]


def sign_in(people: People, password: str = PASSWORD) -> FlaskClient:
    browser = people.web.test_client()
    assert browser.post("/sign-in", data={"email": EMAIL, "password": password}).status_code == 303
    return browser


def rows(owner: Owner) -> list[tuple[Any, ...]]:
    return owner.execute(
        "SELECT action, actor_id, subject_id, ip, details FROM audit WHERE tenant_id = %s ORDER BY id",
        (PLATFORM_TENANT,),
    ).fetchall()


def test_a_changed_password(people: People, user_id: Any, owner: Owner) -> None:
    form = {"old": PASSWORD, "password": OTHER}
    browser = sign_in(people)
    assert browser.post("/profile/password", data={**form, "old": "wrong"}).status_code == 422
    assert rows(owner) == []
    assert browser.post("/profile/password", data=form).status_code == 303
    assert rows(owner) == [("password.changed", user_id, str(user_id), "127.0.0.1", {})]


def test_a_reset_is_the_act_of_the_person_whose_link_it_was(people: People, user_id: Any, owner: Owner) -> None:
    link = people.act(None, user_id, lambda: accounts.issue_token(user_id, "reset_password"))
    assert people.web.test_client().post(f"/reset/{link}", data={"password": OTHER}).status_code == 303
    assert rows(owner) == [("password.reset", user_id, str(user_id), "127.0.0.1", {})]


def test_ended_sessions(people: People, user_id: Any, owner: Owner) -> None:
    browser, _other = sign_in(people), sign_in(people)
    (ids,) = owner.execute("SELECT array_agg(id ORDER BY created_at) FROM sessions").fetchall()
    assert browser.post(f"/profile/sessions/{ids[0][1]}/end").status_code == 303
    assert browser.post(f"/profile/sessions/{ids[0][1]}/end").status_code == 303
    assert rows(owner) == [("session.ended", user_id, str(ids[0][1]), "127.0.0.1", {})]
    sign_in(people)
    browser.post("/sign-out", data={"everywhere": "yes"})
    assert rows(owner)[1:] == [("session.all_ended", user_id, str(user_id), "127.0.0.1", {"sessions": 2})]


def test_signing_out_is_audited_and_a_new_session_in_place_of_the_old_is_not(
    people: People, user_id: Any, owner: Owner
) -> None:
    browser = sign_in(people)
    browser.post("/sign-in", data={"email": EMAIL, "password": PASSWORD})
    assert rows(owner) == []
    browser.post("/sign-out")
    assert [row[0] for row in rows(owner)] == ["session.ended"]


@pytest.mark.parametrize("path", ["/profile/password", "/sign-out", "reset"])
def test_without_its_audit_row_nothing_is_done(
    people: People, user_id: Any, owner: Owner, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the row is written in a transaction of its own."""
    link = people.act(None, user_id, lambda: accounts.issue_token(user_id, "reset_password"))
    browser = sign_in(people)
    before = owner.execute("SELECT password_hash FROM users").fetchall()

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr(audit, "write", broken)
    path = f"/reset/{link}" if path == "reset" else path
    assert browser.post(path, data={"old": PASSWORD, "password": OTHER}).status_code == 500
    assert owner.execute("SELECT password_hash FROM users").fetchall() == before
    assert owner.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
    assert owner.execute("SELECT count(*) FROM user_tokens").fetchone() == (1,)
