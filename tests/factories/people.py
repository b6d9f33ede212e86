"""People and their tenants, over the web process's own role."""

import uuid
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from app.db import db
from app.models.accounts import StaffRole
from app.services import accounts, sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.web import cookie_name


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


def sign_in(apps: dict[str, Flask], tenant_id: uuid.UUID, role: str = "admin") -> FlaskClient:
    """Return a browser of somebody who has just joined the tenant, as an admin unless told."""
    owner, settings = apps["owner"], apps["web"].extensions["settings"]
    with owner.app_context(), bind_tenant(tenant_id), transaction():
        user_id = accounts.make_user(f"{uuid.uuid4().hex}@example.com", "Ada", "a long password").id
        accounts.add_member(tenant_id, user_id, role)
    with owner.app_context(), bind_tenant(tenant_id, user_id), transaction():
        cookie = sessions.start_session(user_id, tenant_id, settings, ip="", user_agent="")
    client = apps["web"].test_client()
    client.set_cookie(cookie_name(settings), cookie)
    return client


def make_staff(apps: dict[str, Flask], role: str | None, email: str = "") -> uuid.UUID:
    """Return somebody of the host's staff; without a role, somebody who is not."""
    with apps["owner"].app_context(), transaction():
        user = accounts.make_user(email or f"{uuid.uuid4().hex}@example.com", "S", "a long password")
        if role:
            db.session.add(StaffRole(user_id=user.id, role=role))
        return user.id
