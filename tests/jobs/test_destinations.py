"""Destinations of notices: real posts to real receivers, tried again, given up, never twice in a row."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.crypto import Seal
from app.errors import ConflictError, InvalidError, NotFoundError
from app.services import destinations, installations, notices, retention
from app.services.credentials import ring
from app.services.destinations import Wish
from app.sync.signatures import new_secret
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.events.receiver import Message, Receiver
from tests.jobs.test_notices import Post

Owner = psycopg.Connection[Any]


class Board(Post):
    """A tenant with destinations and the receivers behind them."""

    receivers: list[Receiver]

    def receiver(self, answer: Callable[[Message], Any] = lambda _: 200) -> Receiver:
        made = Receiver(answer)
        self.receivers.append(made)
        return made

    def act(self, what: Callable[..., Any], *values: Any, **more: Any) -> Any:
        with self.apps["web"].test_request_context(), bind_tenant(self.tenant_id), transaction():
            return what(self.tenant_id, *values, **more)

    def add(self, url: str, kind: str = "webhook", preference: str = "problems") -> tuple[uuid.UUID, str | None]:
        made, secret = self.act(destinations.create, kind, Wish("#ops", preference, url), user_id=self.by.id)
        return made.id, secret

    def found(self) -> Any:
        """Return the installation, inside a transaction."""
        return installations.get_installation(self.tenant_id, self.installation_id)

    def turn(self) -> None:
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")
        self.owner.execute("UPDATE destinations SET not_before = NULL")
        drain_module.drain("send")

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        return self.all(f"SELECT {', '.join(columns)} FROM notices ORDER BY id")  # columns named by tests


@pytest.fixture
def board(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    made = Board(apps, owner)
    made.receivers = []
    yield made
    for receiver in made.receivers:
        receiver.stop()


def test_a_webhook_is_signed_and_says_what_the_problem_says(board: Board) -> None:
    receiver = board.receiver()
    _, secret = board.add(receiver.url)
    board.block()
    board.pass_minutes(2)
    (message,) = receiver.messages
    assert secret is not None
    Webhook(secret).verify(message.body.decode(), message.headers)
    body = json.loads(message.body)
    (one,) = body["installations"]
    assert (body["type"], body["subject"], body["tenant"]["name"]) == ("notice", "HubSpot needs you", "Aldgate Joinery")
    assert one["message"] == "HubSpot no longer accepts the access."
    assert one["fix"] == "Connect it again."
    assert one["url"].endswith(f"/installations/{board.installation_id}")
    board.heal()
    board.pass_minutes(10)
    last = json.loads(receiver.messages[-1].body)
    assert [len(receiver.messages), last["installations"], last["healthy_again"][0]["status"]] == [2, [], "healthy"]


def signed_by(message: Message, secrets: list[str]) -> list[bool]:
    """Return for each secret whether the message is signed with it."""
    found = []
    for secret in secrets:
        try:
            Webhook(secret).verify(message.body.decode(), message.headers)
            found.append(True)
        except WebhookVerificationError:
            found.append(False)
    return found


def test_while_a_secret_is_exchanged_both_sign(board: Board) -> None:
    receiver = board.receiver()
    destination_id, first = board.add(receiver.url)
    second = board.act(destinations.rotate, destination_id)
    assert first is not None

    def told() -> list[bool]:
        board.act(destinations.send_test, destination_id)
        board.turn()
        return signed_by(receiver.messages[-1], secrets)

    secrets = [first, second]
    assert told() == [True, True]
    secrets.append(board.act(destinations.rotate, destination_id))
    assert told() == [False, True, True], "the one before the last ends at once"
    board.owner.execute("UPDATE signing_secrets SET expires_at = now() - interval '2 d' WHERE expires_at IS NOT NULL")
    assert told() == [False, False, True], "the old one ends after a day"
    board.do(lambda: retention.prune_tenant(board.tenant_id))
    assert board.all("SELECT count(*) FROM signing_secrets") == [(1,)]
    assert [row[0] for row in board.all("SELECT action FROM audit WHERE action LIKE '%%rotated' ORDER BY id")] == [
        "destination.secret_rotated"
    ] * 2
    slack, _ = board.add(receiver.url, "slack")
    with pytest.raises(ConflictError, match="not signed"):
        board.act(destinations.rotate, slack)


def test_a_secret_from_before_the_tables_were_joined_signs_on(board: Board) -> None:
    """It was sealed for its destination, whose id its row has taken."""
    receiver = board.receiver()
    destination_id, _ = board.add(receiver.url)
    known = new_secret()

    def seal(tenant_id: uuid.UUID) -> bytes:
        return ring().seal("token", known.encode(), Seal(tenant_id, destination_id, "destination_secret", 1))

    board.owner.execute("UPDATE signing_secrets SET id = destination_id, sealed = %s", (board.act(seal),))
    board.act(destinations.send_test, destination_id)
    board.turn()
    assert signed_by(receiver.messages[-1], [known]) == [True]


def test_slack_gets_a_text_and_blocks_that_cannot_call_anybody(board: Board) -> None:
    receiver = board.receiver()
    board.add(receiver.url, "slack")
    board.owner.execute("UPDATE installations SET name = '<!channel> & co'")
    board.block()
    board.pass_minutes(2)
    (message,) = receiver.messages
    body = json.loads(message.body)
    assert "webhook-signature" not in message.headers
    assert "&lt;!channel&gt; &amp; co needs you" in body["text"]
    assert [block["type"] for block in body["blocks"]] == ["header", "section", "context"]
    assert "<!channel>" not in body["text"] + body["blocks"][1]["text"]["text"]
    assert f"/installations/{board.installation_id}|" in body["blocks"][1]["text"]["text"]


def test_many_at_once_are_one_message_that_slack_can_show(board: Board) -> None:
    receiver = board.receiver()
    board.add(receiver.url, "slack")
    for number in range(30):
        board.block(board.install(f"Shop {number}"))
    board.pass_minutes(2)
    (message,) = receiver.messages
    blocks = json.loads(message.body)["blocks"]
    assert len(blocks) <= 50
    assert "And 10 more." in blocks[-1]["elements"][0]["text"]


@pytest.mark.parametrize(("preference", "sent"), [("problems", 1), ("action", 0)])
def test_a_destination_hears_what_it_is_to_hear(board: Board, preference: str, sent: int) -> None:
    receiver = board.receiver()
    board.add(receiver.url, preference=preference)
    board.do(lambda: notices.tell_problem(board.tenant_id, board.found(), "webhooks_silent", "m", "f"))
    board.turn()
    assert len(receiver.messages) == sent


def test_what_fails_is_tried_again_and_backs_off(board: Board) -> None:
    answers = iter([500, (503, {"Retry-After": "7200"}, b""), 200])
    receiver = board.receiver(lambda _: next(answers))
    board.add(receiver.url)
    board.block()
    board.pass_minutes(2)
    assert board.rows("state", "tries", "status", "error") == [("waiting", 1, 500, "Answered 500.")]
    (row,) = board.all("SELECT not_before > now(), failing_since IS NOT NULL FROM destinations")
    assert row == (True, True)
    drain_module.drain("send")
    assert len(receiver.messages) == 1, "left alone until then"
    board.turn()
    assert board.all("SELECT not_before > now() + interval '110 min' FROM destinations") == [(True,)]
    board.turn()
    assert board.rows("state", "tries") == [("delivered", 3)]
    assert board.all("SELECT failing_since, not_before FROM destinations") == [(None, None)]


@pytest.mark.parametrize(("status", "days", "code"), [(410, 0, "gone"), (500, 6, "failing")])
def test_who_never_answers_is_switched_off_and_admins_hear_of_it(
    board: Board, status: int, days: int, code: str
) -> None:
    receiver = board.receiver(lambda _: status)
    board.add(receiver.url)
    board.block()
    board.owner.execute("UPDATE destinations SET failing_since = now() - make_interval(days => %s)", (days,))
    board.pass_minutes(2)
    assert board.all("SELECT state, disabled_code FROM destinations") == [("disabled", code)]
    assert board.rows("state") == [("failed",)]
    subjects = board.all("SELECT subject FROM mails WHERE template = 'destination_off'")
    assert subjects == [("Messages are no longer sent to #ops",)]
    board.heal()
    board.pass_minutes(10)
    assert len(receiver.messages) == 1


def test_a_test_shows_its_result_and_nothing_follows_from_it(board: Board) -> None:
    receiver = board.receiver(lambda _: 404)
    place, _ = board.add(receiver.url, "slack")
    board.act(destinations.send_test, place)
    board.turn()
    assert board.rows("state", "error") == [("failed", "Answered 404.")]
    assert board.all("SELECT state, failing_since FROM destinations") == [("active", None)]
    receiver.answer = lambda _: 200
    board.act(destinations.send_test, place)
    board.turn()
    assert board.rows("state")[-1] == ("delivered",)
    assert "This is a test" in json.loads(receiver.messages[-1].body)["text"]


def test_a_private_address_is_not_called(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = board.receiver()
    place, _ = board.add(receiver.url)
    settings = board.apps["worker"].extensions["settings"]
    monkeypatch.setitem(board.apps["worker"].extensions, "settings", settings.model_copy(update={"egress_allow": ()}))
    board.act(destinations.send_test, place)
    board.turn()
    assert receiver.messages == []
    assert "private network" in board.rows("error")[0][0]


@pytest.mark.parametrize("url", ["", "ftp://a.test/x", "https://u:p@a.test/x", "https://169.254.169.254/", "not one"])
def test_an_address_that_cannot_be_is_refused(board: Board, url: str) -> None:
    with pytest.raises(InvalidError):
        board.add(url)


def test_the_address_is_sealed_and_the_web_cannot_read_it(board: Board, environment: dict[str, str]) -> None:
    board.add("https://hooks.slack.com/services/T0/B0/CANARY", "slack")
    (row,) = board.all("SELECT host, url_sealed FROM destinations")
    assert row[0] == "https://hooks.slack.com"
    assert b"CANARY" not in bytes(row[1])
    assert "CANARY" not in str(board.all("SELECT details FROM audit"))
    with (
        psycopg.connect(environment["PATCHBAY_WEB_URL"]) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT url_sealed FROM destinations")


def test_an_address_is_in_no_log_and_no_message(
    board: Board, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = board.receiver(lambda _: (500, {}, b"your address is CANARY"))
    place, _ = board.add(f"{receiver.url}?token=CANARY", "slack")
    board.act(destinations.send_test, place)
    board.turn()
    receiver.stop()
    board.act(destinations.send_test, place)
    board.turn()
    out = capsys.readouterr()
    assert "CANARY" not in out.out + out.err + caplog.text
    assert "CANARY" not in str(board.all("SELECT subject, content, error FROM notices"))
    assert "CANARY" not in str(board.all("SELECT last_error FROM tasks"))


def test_another_tenant_neither_sees_nor_changes_it(board: Board) -> None:
    receiver = board.receiver()
    place, _ = board.add(receiver.url)
    other = Board(board.apps, board.owner, "Brightwater")
    other.receivers = []
    assert other.act(destinations.list_destinations) == []
    for act in (destinations.send_test, destinations.disable, destinations.remove):
        with pytest.raises(NotFoundError):
            other.act(act, place)
    other.block()
    other.pass_minutes(2)
    assert receiver.messages == []


def test_changing_keeps_the_address_unless_a_new_one_is_given(board: Board) -> None:
    first, second = board.receiver(), board.receiver()
    place, _ = board.add(first.url)
    board.act(destinations.change, place, Wish("Renamed", "action"))
    board.act(destinations.send_test, place)
    board.turn()
    board.act(destinations.change, place, Wish("Renamed", "action", second.url))
    board.act(destinations.send_test, place)
    board.turn()
    assert (len(first.messages), len(second.messages)) == (1, 1)
    board.act(destinations.disable, place)
    board.block()
    board.pass_minutes(2)
    assert len(second.messages) == 1
