"""A tenant with an installation of Sandbox CRM, the vendor running where a test asks for it, and its mapping to edit."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from app.services import accounts, connections, credentials, installations, listings, mappings, sessions, stream_fields
from app.services.mappings import Content
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.web import cookie_name
from connectors.sdk import FieldInfo, Rule, Secret
from connectors.sdk.oauth import TokenSet
from jobs import drain
from tests.connectors.sandbox.running import Running
from tests.factories.tenants import make_tenant

STREAM = "contacts"


class Workspace:
    """One installation; acts are transactions of the web process, work is done by the worker's in this process."""

    def __init__(self, apps: dict[str, Flask], *, vendor: Running | None = None, state: str = "active") -> None:
        self.apps, self.tenant_id = apps, make_tenant(apps)
        self.user_id = self.act(lambda: accounts.make_user("ada@example.com", "Ada", "a long password").id)
        self.act(lambda: accounts.add_member(self.tenant_id, self.user_id, "owner"), process="owner")
        self.installation_id = self.act(lambda: self._install(vendor, state))

    def _install(self, vendor: Running | None, state: str) -> uuid.UUID:
        made = installations.create_installation(self.tenant_id, "sandbox", user_id=self.user_id)
        connection = connections.get_connection(self.tenant_id, made.connection_id)
        manifest = listings.manifest_of(made.listing_version_id)
        connections.save_settings(connection, manifest, {"server": vendor.origin if vendor else "http://127.0.0.1:1"})
        connection.state, connection.tested_at, connection.account_id = "ready", datetime.now(UTC), "acme"
        connection.account_name = "Acme Tools Ltd"
        made.state = state
        if vendor:
            # Not due for renewal within a test.
            until = datetime.now(UTC) + timedelta(hours=1)
            credentials.save_tokens(
                self.tenant_id, connection.id, TokenSet(Secret(vendor.access()), None, until), after_version=0
            )
        return made.id

    def act(self, what: Callable[[], Any], process: str = "web") -> Any:
        """Return what `what` answers, within a transaction."""
        with self.apps[process].app_context(), bind_tenant(self.tenant_id), transaction():
            return what()

    def content(self, stream: str = STREAM) -> Content:
        """Return the mapping as it is."""
        found: Content = self.act(lambda: mappings.get_content(self.tenant_id, self.installation_id, stream))
        return found

    def rule(self, target: str) -> Rule | None:
        """Return a rule as edited."""
        return next((rule for rule in self.content().rules if rule.target == target), None)

    def change(self, change: Callable[[list[Rule]], list[Rule]], *, typed: tuple[str, ...] = ()) -> None:
        """Edit the rules."""

        def do() -> None:
            content = mappings.get_content(self.tenant_id, self.installation_id, STREAM)
            mappings.change_rules(
                self.tenant_id, self.installation_id, STREAM, change, fields=self.fields(content), user_id=self.user_id,
                typed=typed,
            )  # fmt: skip

        self.act(do)

    def fields(self, content: Content) -> list[Any]:
        """Return the account's fields of a stream."""
        manifest = listings.manifest_of(
            installations.get_installation(self.tenant_id, self.installation_id).listing_version_id
        )
        return stream_fields.of_stream(content.installed, manifest.stream(content.installed.stream))

    def keep_fields(self, *more: FieldInfo) -> None:
        """Take the declared fields and some more as those of the account."""

        def do() -> None:
            content = mappings.get_content(self.tenant_id, self.installation_id, STREAM, lock=True)
            found = [*self.fields(content), *(stream_fields.found_as(field) for field in more)]
            stream_fields.put(content.installed, found)

        self.act(do)

    def drain(self, monkeypatch: Any, lane: str = "fast") -> int:
        """Have a worker do what is due in a lane; return how many tasks."""
        monkeypatch.setattr(drain, "worker_app", lambda: self.apps["worker"])
        return drain.drain(lane)

    def browser(self, role: str = "owner") -> FlaskClient:
        """Return a browser with somebody of this role signed in."""
        app = self.apps["owner"]
        settings = app.extensions["settings"]
        user_id = self.user_id
        if role != "owner":
            email = f"{uuid.uuid4().hex}@example.com"
            user_id = self.act(lambda: accounts.make_user(email, role.capitalize(), "a long password").id)
            self.act(lambda: accounts.add_member(self.tenant_id, user_id, role), process="owner")
        with app.app_context(), bind_tenant(self.tenant_id, user_id), transaction():
            cookie = sessions.start_session(user_id, self.tenant_id, settings, ip="", user_agent="")
        client = self.apps["web"].test_client()
        client.set_cookie(cookie_name(settings), cookie)
        return client

    @property
    def base(self) -> str:
        """The address of the editor."""
        return f"/installations/{self.installation_id}/mapping/{STREAM}"
