"""People and their tenants, over the web process's own role."""

import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask

from app.db import db
from app.services import accounts
from app.tenancy import bind_tenant
from app.transaction import transaction


class People:
    """Makes people and acts for them, each act a transaction with tenant and user bound."""

    def __init__(self, apps: dict[str, Flask]) -> None:
        self.web = apps["web"]
        self.settings = apps["web"].extensions["settings"]

    def act(self, tenant_id: uuid.UUID | None, user_id: uuid.UUID | None, what: Callable[[], Any]) -> Any:
        """Return what `what` answers."""
        with self.web.test_request_context(), bind_tenant(tenant_id, user_id), transaction():
            return what()

    def sign_up(
        self, email: str, *, tenant: str = "Aldgate", password: str = "a long password"
    ) -> tuple[uuid.UUID, uuid.UUID]:
        """Return (tenant id, user id) of a new tenant and its owner."""
        tenant_id = uuid.uuid4()
        made = self.act(tenant_id, None, lambda: accounts.sign_up(tenant_id, tenant, email, "Ada", password))
        return tenant_id, made.id

    def join(self, tenant_id: uuid.UUID, email: str, role: str) -> tuple[uuid.UUID, uuid.UUID]:
        """Return (membership id, user id) of another member."""

        def add() -> tuple[uuid.UUID, uuid.UUID]:
            user = accounts.make_user(email, "Bob", "a long password")
            member = accounts.add_member(tenant_id, user.id, role)
            db.session.flush()
            return member.id, user.id

        return tuple(self.act(tenant_id, None, add))  # type: ignore[return-value]
