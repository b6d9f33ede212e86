"""Tenants at one vendor host that answers as a test says, worked on by the real worker functions in this process."""

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from flask import Flask

from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.connectors.sdk.servers import Answer, Call, Vendor
from tests.factories.tenants import activate, connect_kinto, make_tenant

Owner = psycopg.Connection[Any]
GOOD: dict[str, Any] = {"/v1/buckets/crm": {"data": {"id": "crm"}}}


def good(call: Call) -> Answer:
    """Answer as an empty Kinto does."""
    return 200, {"ETag": '"1"'}, GOOD.get(call.path, {"data": []})


def status(code: int) -> Callable[[Call], Answer]:
    """Answer everything with this status."""
    return lambda _call: (code, {}, {"message": "No."})


class Site:
    """One vendor host; each tenant has an installation whose connection was tested while all was well."""

    def __init__(self, apps: dict[str, Flask], owner: Owner, vendor: Vendor) -> None:
        self.apps, self.owner, self.vendor = apps, owner, vendor
        self.tenants: list[tuple[uuid.UUID, uuid.UUID]] = []

    def add_tenant(self) -> None:
        tenant_id = make_tenant(self.apps)
        with self.apps["web"].app_context():
            installation_id = connect_kinto(tenant_id, self.vendor.origin, "password")
        drain_module.drain("fast")
        with self.apps["web"].app_context():
            activate(tenant_id, installation_id)
        self.tenants.append((tenant_id, installation_id))

    def act(self, what: Callable[[uuid.UUID, uuid.UUID], Any], number: int = 0) -> Any:
        tenant_id, installation_id = self.tenants[number]
        with self.apps["web"].app_context(), bind_tenant(tenant_id), transaction():
            return what(tenant_id, installation_id)

    def turn(self, lane: str = "sync") -> int:
        """Let what waits be due, work on it, and return how many calls the vendor has got."""
        before = len(self.vendor.calls)
        self.owner.execute("UPDATE tasks SET due_at = now() WHERE state = 'ready' AND lane = %s", (lane,))
        drain_module.drain(lane)
        return len(self.vendor.calls) - before

    def pause_over(self) -> None:
        self.owner.execute("UPDATE breakers SET open_until = now() - interval '1 s' WHERE state <> 'closed'")

    def minute_over(self) -> None:
        self.owner.execute("UPDATE breakers SET window_at = now() - interval '61 s'")

    def ask(self, query: str) -> Any:
        return self.owner.execute(query).fetchone()

    def runs(self) -> list[tuple[Any, ...]]:
        return self.owner.execute("SELECT state, waiting_code, tries FROM runs ORDER BY id").fetchall()

    def breakers(self) -> set[tuple[str, str]]:
        return set(self.owner.execute("SELECT kind, state FROM breakers").fetchall())

    def go_down(self) -> None:
        """Fail until the host's breaker is open, by one tenant's run."""
        self.vendor.answer = status(503)
        for _ in range(5):
            assert self.turn() == 1
