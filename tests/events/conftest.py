"""A tenant with endpoints that answer as a test says, worked on by the real worker functions in this process."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask

from app import clock
from app.services import subscriptions
from app.services.subscriptions import Wish
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import dispatches as sending
from jobs import drain as drain_module
from tests.events.receiver import Message, Receiver
from tests.factories.events import write_changes
from tests.factories.tenants import make_tenant

Owner = psycopg.Connection[Any]


class Bus:
    """Tenants, their subscriptions and receivers; `turn` lets the lane work once."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, environment: dict[str, str]) -> None:
        self.apps, self.owner, self._url = apps, owner, environment["PATCHBAY_WORKER_URL"]
        self.receivers: list[Receiver] = []
        self.tenant_id = make_tenant(apps)

    def receiver(self, answer: Callable[[Message], Any] = lambda _: 204) -> Receiver:
        made = Receiver(answer)
        self.receivers.append(made)
        return made

    def act(self, what: Callable[[uuid.UUID], Any], tenant_id: uuid.UUID | None = None) -> Any:
        tenant_id = tenant_id if tenant_id is not None else self.tenant_id
        with self.apps["web"].test_request_context(), bind_tenant(tenant_id), transaction():
            return what(tenant_id)

    def subscribe(self, url: str, tenant_id: uuid.UUID | None = None, **filters: Any) -> tuple[uuid.UUID, str]:
        """Return (id, secret) of a new subscription."""
        wish = Wish("Product", url, **filters)
        made, secret = self.act(lambda tenant: subscriptions.create(tenant, wish), tenant_id)
        return made.id, secret

    def write(self, count: int = 1, tenant_id: uuid.UUID | None = None, **more: Any) -> list[uuid.UUID]:
        """Write changes of records in one transaction; return their ids."""
        tenant_id = tenant_id or self.tenant_id
        with psycopg.connect(self._url) as connection:
            connection.execute("SELECT set_config('patchbay.tenant', %s, true)", (str(tenant_id),))
            return write_changes(connection, tenant_id, count, **more)

    def turn(self) -> None:
        """Let what waits be due for its worker, and work on the lane: first on the fan-out, then on what that adds."""
        for _ in range(2):
            self.owner.execute("UPDATE tasks SET due_at = now() - interval '1 s' WHERE state = 'ready'")
            drain_module.drain("send")

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.owner.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        (row,) = self.ask(query, *values)
        return row[0] if len(row) == 1 else row


class FakeClock:
    """The time as the test sets it."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def bus(
    apps: dict[str, Flask], clean: None, owner: Owner, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bus]:
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    monkeypatch.setattr(sending, "TIMEOUT", 2.0)
    made = Bus(apps, owner, environment)
    yield made
    for receiver in made.receivers:
        receiver.stop()


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    made = FakeClock()
    clock.replace_source(lambda: made.at)
    yield made
    clock.replace_source(None)
