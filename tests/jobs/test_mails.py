"""E-mail: what waits for a server is sent once there is one."""

import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from flask import Flask
from pydantic import SecretStr

from app.tenancy import PLATFORM_TENANT
from jobs import drain as drain_module
from tests.factories.people import People
from tests.factories.tasks import Lane

Owner = psycopg.Connection[Any]


class _Session(socketserver.StreamRequestHandler):
    """As much of SMTP as a plain server on one's own network needs."""

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                self._say("354 go on")
                lines: list[bytes] = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                self.server.messages.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self._say("221 bye" if word == b"QUIT" else "250 fine")
            if word == b"QUIT":
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class Server(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.messages: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


def test_mail_without_a_server_is_sent_once_there_is_one(
    apps: dict[str, Flask], clean: None, owner: Owner, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it is parked: nobody takes a parked task up again."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    settings, lane = apps["worker"].extensions["settings"], Lane(apps, owner)

    def set_up(url: str) -> None:
        changed = settings.model_copy(update={"smtp_url": SecretStr(url), "mailbox_dir": None})
        monkeypatch.setitem(apps["worker"].extensions, "settings", changed)

    set_up("")
    _, user_id = People(apps).sign_up("ada@example.com")
    lane.add(PLATFORM_TENANT, str(user_id), lane="send", kind="send_reset", ref=user_id)
    for _ in range(10):  # As often as it likes: waiting for a server is no failed attempt.
        drain_module.drain("send")
        owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready'")
    assert owner.execute("SELECT state, attempts FROM tasks WHERE kind = 'send_mail'").fetchall() == [("ready", 0)]
    assert owner.execute("SELECT state FROM mails").fetchall() == [("waiting",)]
    set_up(server.url)
    assert drain_module.drain("send") == 1
    assert owner.execute("SELECT state, body_sealed FROM mails").fetchall() == [("sent", None)]
    (message,) = server.messages
    assert "To: ada@example.com" in message
    assert "/reset/" in message
    assert lane.count("kind = 'send_mail' AND state = 'done'") == 1


def test_mail_that_waits_for_a_server_is_looked_at_in_minutes(
    apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, which would keep the lane busy with it."""
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    lane = Lane(apps, owner)
    _, user_id = People(apps).sign_up("ada@example.com")
    lane.add(PLATFORM_TENANT, str(user_id), lane="send", kind="send_reset", ref=user_id)
    assert drain_module.drain("send") == 2
    row = owner.execute("SELECT due_at > now() + interval '1 min' FROM tasks WHERE kind = 'send_mail'").fetchone()
    assert row == (True,)
