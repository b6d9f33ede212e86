"""E-mail about installations: grouped, once however often the task runs, only to those who want it."""

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import mails, notices, problems
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.factories.conflicts import Desk

Owner = psycopg.Connection[Any]


class Post(Desk):
    """A tenant with an owner, and what is sent to them."""

    def do(self, what: Callable[[], Any]) -> None:
        with self.apps["worker"].app_context(), bind_tenant(self.tenant_id), transaction():
            what()

    def block(self, installation: Any = None) -> None:
        installation = installation or self.installation_id
        self.owner.execute("UPDATE installations SET blocked_code = 'reconnect' WHERE id = %s", (installation,))
        self.do(
            lambda: problems.open_problem(
                self.tenant_id, installation, "reconnect", "HubSpot no longer accepts the access.", "Connect it again.",
                stops_sync=True,
            )
        )  # fmt: skip

    def heal(self) -> None:
        self.owner.execute("UPDATE installations SET blocked_code = NULL")
        self.do(lambda: problems.close(self.tenant_id, self.installation_id, "reconnect", by="test"))

    def pass_minutes(self, count: int) -> None:
        self.owner.execute(
            "UPDATE installation_status SET changed_at = changed_at - make_interval(mins => %s), "
            "told_at = told_at - make_interval(mins => %s), late_at = late_at - make_interval(mins => %s)", (count,) * 3
        )  # fmt: skip
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'notify' AND state = 'ready'")
        drain_module.drain("send")

    def mails(self) -> list[str]:
        return [row[0] for row in self.all("SELECT subject FROM mails WHERE template = 'notice' ORDER BY id")]


@pytest.fixture
def post(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Post:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    return Post(apps, owner)


def test_trouble_is_told_once_and_its_end_too(post: Post) -> None:
    post.block()
    post.pass_minutes(2)
    assert post.mails() == ["HubSpot needs you"]
    post.pass_minutes(60)
    post.block()
    post.pass_minutes(60)
    assert len(post.mails()) == 1
    post.heal()
    post.pass_minutes(1)
    assert len(post.mails()) == 1  # It has to hold for a while.
    post.pass_minutes(10)
    assert post.mails() == ["HubSpot needs you", "HubSpot is healthy again"]


def test_what_is_over_by_itself_is_not_told(post: Post) -> None:
    post.block()
    post.heal()
    post.pass_minutes(30)
    assert post.mails() == []


def test_several_at_once_are_one_message(post: Post) -> None:
    second = post.install("Stripe")
    post.block()
    post.block(second)
    post.pass_minutes(2)
    assert post.mails() == ["2 integrations are not in order"]


def test_a_worker_that_is_lost_sends_nothing_twice(post: Post) -> None:
    """Mail and mark are one transaction: whoever takes the task up finds it told, or tells it."""
    post.block()
    post.pass_minutes(2)
    post.do(lambda: notices.tell(post.tenant_id))
    assert len(post.mails()) == 1


@pytest.mark.parametrize(("chosen", "sent"), [("none", 0), ("action", 1), ("problems", 1), (None, 1)])
def test_each_is_told_what_they_want(post: Post, chosen: str | None, sent: int) -> None:
    post.owner.execute("UPDATE memberships SET notify = %s WHERE tenant_id = %s", (chosen, post.tenant_id))
    post.block()
    post.pass_minutes(2)
    assert len(post.mails()) == sent
    post.heal()
    post.pass_minutes(10)
    assert len(post.mails()) == 2 * sent  # Who was told of it hears of its end.


def test_a_message_holds_the_words_of_the_problem(post: Post) -> None:
    post.block()
    post.pass_minutes(2)
    ((mail_id,),) = post.all("SELECT id FROM mails WHERE template = 'notice'")
    opened: list[Any] = []
    post.do(lambda: opened.append(mails.open_mail(post.tenant_id, mail_id)))
    text = opened[0][1]["txt"]
    assert "HubSpot needs you" in text
    assert "HubSpot no longer accepts the access.\nConnect it again." in text
    assert f"/installations/{post.installation_id}" in text


def test_a_change_of_status_and_its_message_do_not_wait_for_each_other(post: Post) -> None:
    """Who changes a status has its row and wants the task: red, as a deadlock, when the job takes its task first."""
    post.block()
    post.owner.execute("UPDATE installation_status SET changed_at = now() - interval '5 min'")
    post.owner.execute("UPDATE tasks SET due_at = now() WHERE kind = 'notify'")
    held, failures = threading.Event(), list[Exception]()

    def change() -> None:
        with psycopg.connect(post.owner.info.dsn) as person:
            person.execute("SELECT 1 FROM installation_status FOR UPDATE")
            held.set()
            time.sleep(1)
            person.execute("SET LOCAL lock_timeout = '2s'")
            try:
                person.execute("UPDATE tasks SET rerun = true WHERE kind = 'notify' AND state = 'leased'")
            except psycopg.Error as error:
                failures.append(error)
                person.rollback()

    changing = threading.Thread(target=change)
    changing.start()
    held.wait(5)
    drain_module.drain("send")
    changing.join(10)
    assert failures == []
    assert post.mails() == ["HubSpot needs you"]
