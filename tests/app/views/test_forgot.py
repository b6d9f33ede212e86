"""A forgotten password: the answer says nothing about who has an account, a worker sends the link."""

import re
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from app.db import db
from app.tenancy import PLATFORM_TENANT, bind_tenant
from jobs import drain as drain_module
from tests.factories.people import People
from tests.factories.tasks import Lane

Owner = psycopg.Connection[Any]
EMAIL = "ada@example.com"


@pytest.fixture
def people(apps: dict[str, Flask], clean: None, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    made = People(apps)
    made.sign_up(EMAIL)
    return made


def ask(client: FlaskClient, people: People, email: str) -> tuple[str, list[str]]:
    """Return the page and the statements it took."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    with people.web.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        answer = client.post("/forgot", data={"email": email})
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert answer.status_code == 200
    return answer.get_data(as_text=True), statements


def test_known_and_unknown_addresses_get_the_same_words_for_the_same_work(people: People, client: FlaskClient) -> None:
    """Red when the mail is written in the request: only a known address would pay for it."""
    ask(client, people, "warm@example.com")
    known, unknown = ask(client, people, EMAIL), ask(client, people, "nobody@example.com")
    assert known == unknown
    assert "If there is an account" in known[0]


def test_the_worker_sends_a_link_to_the_person_and_nothing_to_nobody(
    people: People,
    client: FlaskClient,
    apps: dict[str, Flask],
    owner: Owner,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = apps["worker"].extensions["settings"].model_copy(update={"mailbox_dir": tmp_path})
    monkeypatch.setitem(apps["worker"].extensions, "settings", settings)
    for email in (EMAIL.upper(), EMAIL, "nobody@example.com"):
        ask(client, people, email)
    assert owner.execute("SELECT count(*) FROM tasks WHERE kind = 'send_reset'").fetchone() == (2,)
    assert not [row for row in owner.execute("SELECT key FROM tasks").fetchall() if "@" in row[0]]
    while drain_module.drain("send"):
        pass
    assert owner.execute("SELECT recipient, template, state FROM mails").fetchall() == [(EMAIL, "reset", "sent")]
    (file,) = tmp_path.glob("*.eml")
    found = re.search(r"/reset/([\w-]+)", file.read_text().replace("=\n", ""))
    assert found is not None
    form = {"password": "another long password"}
    assert client.post(f"/reset/{found[1]}", data=form).status_code == 303
    answer = client.post("/sign-in", data={"email": EMAIL, **form})
    assert answer.status_code == 303


def test_a_mailbox_is_not_flooded(people: People, apps: dict[str, Flask], owner: Owner) -> None:
    lane = Lane(apps, owner)
    row = owner.execute("SELECT id FROM users").fetchone()
    assert row is not None
    for _ in range(7):
        lane.add(PLATFORM_TENANT, str(row[0]), lane="send", kind="send_reset", ref=row[0])
        task = lane.claim(lane="send")
        assert task is not None
        with apps["worker"].app_context(), bind_tenant(PLATFORM_TENANT):
            drain_module.work(task, 5)
        owner.execute("DELETE FROM tasks")
    assert owner.execute("SELECT count(*) FROM mails").fetchone() == (5,)
    assert owner.execute("SELECT count(*) FROM user_tokens").fetchone() == (5,)
