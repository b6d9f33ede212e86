"""A company, Ada who is an admin of it, and an installation of a real Kinto, with the real processes."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Page

from app.services import accounts, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import PASSWORD, Kinto, contact
from tests.factories.tenants import activate, connect_kinto, make_tenant
from tests.processes import Processes, wait_for


class Site:
    """A company with an admin, Ada, and an installation of a Kinto that has 20 contacts and has run once."""

    def __init__(self, apps: dict[str, Flask], owner: psycopg.Connection, processes: Processes, kinto: Kinto) -> None:
        self.apps, self.owner, self.url, self.kinto = apps, owner, processes.url, kinto
        self.tenant_id = make_tenant(apps)
        with apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            user = accounts.make_user("ada@example.com", "Ada Byron", "a long password")
            accounts.add_member(self.tenant_id, user.id, "admin")
        with apps["web"].app_context():
            self.installation_id = connect_kinto(self.tenant_id, kinto.origin, PASSWORD)
        wait_for(lambda: self.ask("SELECT state FROM connections") == "ready", about="the connection test")
        self.owner.execute("UPDATE installation_streams SET enabled = stream = 'contacts', direction = 'both'")
        with apps["web"].app_context():
            activate(self.tenant_id, self.installation_id)
        self.wait_for_run()

    def act(self, what: Callable[..., Any], *values: Any, **more: Any) -> Any:
        """Act as the web process does."""
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            return what(self.tenant_id, *values, **more)

    def ask(self, query: str) -> object:
        row = self.owner.execute(query).fetchone()
        return row[0] if row else None

    def wait_for_run(self) -> None:
        wait_for(lambda: self.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1") == "done", about="the run")

    def run(self) -> uuid.UUID:
        found = self.act(runs.start_run, self.installation_id, trigger="manual").id
        self.wait_for_run()
        return found

    def sign_in(self, page: Page) -> None:
        page.goto(f"{self.url}/sign-in")
        page.get_by_label("E-mail").fill("ada@example.com")
        page.get_by_label("Password").fill("a long password")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}/home")


@pytest.fixture
def site(
    environment: dict[str, str], clean: None, apps: dict[str, Flask], owner: psycopg.Connection, tmp_path: Path
) -> Iterator[Site]:
    kinto = Kinto(tmp_path).start()
    kinto.put_all("contacts", [contact(n) for n in range(20)])
    processes = Processes(environment, tmp_path / "log")
    processes.start("web", "dispatcher", "fast-1", "sync-1")
    yield Site(apps, owner, processes, kinto)
    processes.stop()
    kinto.stop()
