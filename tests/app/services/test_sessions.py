"""Sessions: rotated at sign-in, ended by idleness, by age, by hand and by a new password."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.crypto import token_hash
from app.services import accounts, sessions
from app.tenancy import bind_tenant
from tests.factories.people import People

Owner = psycopg.Connection[Any]
EMAIL, PASSWORD = "ada@example.com", "a long password"


@pytest.fixture
def people(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    return People(apps)


@pytest.fixture
def ada(people: People) -> tuple[uuid.UUID, uuid.UUID]:
    return people.sign_up(EMAIL, password=PASSWORD)


def start(people: People, ada: tuple[uuid.UUID, uuid.UUID], agent: str = "Firefox") -> str:
    return str(
        people.act(*ada, lambda: sessions.start_session(ada[1], ada[0], people.settings, ip="::1", user_agent=agent))
    )


def find(people: People, cookie: str) -> sessions.Found | None:
    with people.web.app_context():
        return sessions.find_session(cookie, people.settings)


def sign_in(client: FlaskClient, password: str = PASSWORD) -> str:
    client.post("/sign-in", data={"email": EMAIL, "password": password})
    cookie = client.get_cookie("patchbay")
    assert cookie is not None
    return cookie.value


def is_in(people: People, cookie: str) -> bool:
    client = people.web.test_client()
    client.set_cookie("patchbay", cookie)
    return client.get("/profile").status_code == 200


def test_only_the_hash_of_the_cookie_is_stored(people: People, ada: Any, owner: Owner) -> None:
    cookie = start(people, ada, "x" * 500)
    row = owner.execute("SELECT token_hash, length(user_agent), user_id, active_tenant FROM sessions").fetchone()
    assert row == (token_hash(cookie), 200, ada[1], ada[0])
    found = find(people, cookie)
    assert found is not None
    assert (found.user_id, found.tenant_id, found.stale) == (ada[1], ada[0], False)
    assert find(people, cookie[:-1]) is None


def test_a_session_ends_when_it_lies_idle(people: People, ada: Any, owner: Owner) -> None:
    cookie = start(people, ada)
    idle = people.settings.session_idle_minutes
    owner.execute("UPDATE sessions SET seen_at = now() - interval '1 min' * %s", (idle - 1,))
    found = find(people, cookie)
    assert found is not None
    assert found.stale
    people.act(*ada, lambda: sessions.touch(found.session_id))
    assert not find(people, cookie).stale  # type: ignore[union-attr]
    owner.execute("UPDATE sessions SET seen_at = now() - interval '1 min' * %s", (idle + 1,))
    assert find(people, cookie) is None
    assert not is_in(people, cookie)


def test_a_session_ends_at_its_age_however_busy_it_is(people: People, ada: Any, owner: Owner) -> None:
    cookie = start(people, ada)
    row = owner.execute("SELECT expires_at > now() + interval '1 day' * %s, expires_at < now() + interval '1 day' * %s "
                        "FROM sessions", (people.settings.session_days - 1, people.settings.session_days + 1)).fetchone()  # fmt: skip
    assert row == (True, True)
    owner.execute("UPDATE sessions SET expires_at = now() - interval '1 s', seen_at = now()")
    assert find(people, cookie) is None
    assert not is_in(people, cookie)


def test_use_keeps_a_session_alive(people: People, ada: Any, owner: Owner) -> None:
    cookie = start(people, ada)
    owner.execute("UPDATE sessions SET seen_at = now() - interval '1 h'")
    assert is_in(people, cookie)
    assert owner.execute("SELECT seen_at > now() - interval '1 min' FROM sessions").fetchone() == (True,)


def test_ended_sessions_are_not_listed_and_are_gone_at_the_next_sign_in(people: People, ada: Any, owner: Owner) -> None:
    start(people, ada, "old")
    start(people, ada, "idle")
    owner.execute("UPDATE sessions SET expires_at = now() - interval '1 s' WHERE user_agent = 'old'")
    owner.execute("UPDATE sessions SET seen_at = now() - interval '13 h' WHERE user_agent = 'idle'")
    assert people.act(*ada, lambda: sessions.list_sessions(ada[1])) == []
    start(people, ada, "new")
    assert [row.user_agent for row in people.act(*ada, lambda: sessions.list_sessions(ada[1]))] == ["new"]
    assert owner.execute("SELECT user_agent FROM sessions").fetchall() == [("new",)]


def test_signing_in_again_rotates_the_session(people: People, ada: Any, client: FlaskClient) -> None:
    """A cookie planted or kept from before is worth nothing afterwards."""
    first = sign_in(client)
    second = sign_in(client)
    assert first != second
    assert (is_in(people, first), is_in(people, second)) == (False, True)


def test_signing_out_ends_this_session_and_everywhere_ends_all(people: People, ada: Any, client: FlaskClient) -> None:
    others = [start(people, ada) for _ in range(2)]
    cookie = sign_in(client)
    client.post("/sign-out")
    assert [is_in(people, value) for value in (cookie, *others)] == [False, True, True]
    cookie = sign_in(client)
    client.post("/sign-out", data={"everywhere": "1"})
    assert [is_in(people, value) for value in (cookie, *others)] == [False, False, False]


def test_a_new_password_ends_the_other_sessions(people: People, ada: Any, client: FlaskClient) -> None:
    other, cookie = start(people, ada), sign_in(client)
    form = {"old": PASSWORD, "password": "another long password"}
    assert client.post("/profile/password", data=form).status_code == 303
    assert (is_in(people, cookie), is_in(people, other)) == (True, False)


def test_a_reset_ends_every_session(people: People, ada: Any, client: FlaskClient) -> None:
    cookies = [start(people, ada), start(people, ada)]
    link = people.act(None, ada[1], lambda: accounts.issue_token(ada[1], "reset_password"))
    assert client.post(f"/reset/{link}", data={"password": "another long password"}).status_code == 303
    assert [is_in(people, value) for value in cookies] == [False, False]
    assert is_in(people, sign_in(client, "another long password"))
    assert client.post(f"/reset/{link}", data={"password": "a third long password"}).status_code == 422


def test_nobody_ends_or_sees_another_persons_session(people: People, ada: Any) -> None:
    zoe = people.sign_up("zoe@example.com")
    cookie = start(people, ada)
    found = find(people, cookie)
    assert found is not None
    people.act(*zoe, lambda: sessions.end_session(found.session_id))
    people.act(*zoe, lambda: sessions.end_all(ada[1]))
    assert people.act(*zoe, lambda: sessions.list_sessions(ada[1])) == []
    assert find(people, cookie) is not None


def test_a_session_in_a_tenant_one_has_left_shows_nothing_of_it(people: People, ada: Any) -> None:
    member_id, user_id = people.join(ada[0], "bob@example.com", "admin")
    cookie = start(people, (ada[0], user_id))
    people.act(ada[0], None, lambda: accounts.remove_member(ada[0], member_id, by="owner"))
    found = find(people, cookie)
    assert found is not None
    with people.web.app_context(), bind_tenant(found.tenant_id, found.user_id):
        loaded = sessions.load(found)
    assert loaded is not None
    assert loaded[1:] == (None, None, frozenset())


def test_signing_the_others_out_keeps_this_one(people: People, ada: Any, owner: Owner) -> None:
    other, client = start(people, ada), people.web.test_client()
    bob = people.sign_up("bob@example.com")
    theirs = start(people, bob)
    mine = sign_in(client)
    assert "Sign out the others" in client.get("/profile").text
    assert client.post("/profile/sessions/end-others").location == "/profile"
    assert (is_in(people, mine), is_in(people, other), is_in(people, theirs)) == (True, False, True)
    assert "Sign out the others" not in client.get("/profile").text
    entries = owner.execute("SELECT details FROM audit WHERE action = 'session.others_ended'").fetchall()
    assert entries == [({"sessions": 1},)]
    client.post("/profile/sessions/end-others")
    assert owner.execute("SELECT count(*) FROM audit WHERE action = 'session.others_ended'").fetchone() == (1,)
