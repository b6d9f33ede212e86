"""A company that has something on every page: two vendors, conflicts, problems, failed records, webhooks, events."""

import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg
import requests
from flask import Flask
from playwright.sync_api import Page, expect

from app.db import db
from app.devstack.process import spawn, stop
from app.models.accounts import StaffRole, User
from app.models.records import Record
from app.services import (
    accounts,
    credentials,
    destinations,
    installations,
    integration_requests,
    invitations,
    record_edits,
    runs,
    subscriptions,
    support_grants,
)
from app.services.subscriptions import Wish
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.counterparts.kinto import PASSWORD, Kinto, company, contact
from tests.events.receiver import Receiver
from tests.factories.tenants import activate, connect_kinto, make_tenant
from tests.processes import ROOT, Processes, free_port, wait_for

PEOPLE = {"owner": "maja@aldgate-joinery.example", "member": "tom@aldgate-joinery.example"}
STAFF = {"operator": "operator@patchbay.example", "support": "support@patchbay.example"}
SECRET = "a long password"  # of people who exist in a test only


class Company:
    """Aldgate Joinery: people of each role, Kinto both ways, Sandbox CRM, one that is broken and one half set up."""

    def __init__(
        self, apps: dict[str, Flask], owner: psycopg.Connection[Any], environment: dict[str, str], folder: Path
    ) -> None:
        self.apps, self.owner = apps, owner
        port = free_port()
        self.vendor = f"http://127.0.0.1:{port}"
        self.kinto = Kinto(folder).start()
        self.receiver = Receiver(lambda _: 500 if len(self.receiver.messages) < 3 else 204)
        self.processes = Processes(
            {**environment, "PATCHBAY_SANDBOX_URL": self.vendor, "PATCHBAY_MAILBOX_DIR": str(folder / "mail")},
            folder / "log",
        )
        self.url = self.processes.url
        self._crm = spawn(
            [
                sys.executable,
                "-m",
                "connectors.sandbox.vendor",
                "--port",
                str(port),
                "--redirect-uri",
                f"{self.url}/oauth/callback/sandbox",
            ],
            cwd=ROOT,
        )
        self.tenant_id = make_tenant(apps)

    def stop(self) -> None:
        """Stop everything."""
        self.processes.stop()
        stop(self._crm)
        self.kinto.stop()
        self.receiver.stop()

    def act(self, what: Any, *values: Any, tenant_id: uuid.UUID | None = None, **more: Any) -> Any:
        """Return what `what` answers in a transaction of the web process."""
        tenant_id = tenant_id or self.tenant_id
        with self.apps["web"].test_request_context(), bind_tenant(tenant_id), transaction():
            return what(tenant_id, *values, **more)

    def ask(self, query: str) -> Any:
        """Return the first value of a query, as the owner of the tables."""
        row = self.owner.execute(query).fetchone()
        return row[0] if row else None

    def sign_in(self, page: Page, email: str) -> None:
        """Sign in; a page that somebody else has used is used anew."""
        page.context.clear_cookies()
        page.goto(f"{self.url}/sign-in")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(SECRET)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: not url.endswith("/sign-in"))

    def make_everything(self, page: Page) -> None:
        """Do what such a company does in its first weeks."""
        self._people()
        self.processes.start("web", "dispatcher", "fast-1", "sync-1", "send-1")
        self._kinto_both_ways()
        self.sign_in(page, PEOPLE["owner"])
        self._sandbox(page)
        self._half_set_up(page)
        self._broken()
        self._around()

    def _people(self) -> None:
        def make(tenant_id: uuid.UUID) -> None:
            for role, email in PEOPLE.items():
                user = accounts.make_user(email, email.split("@")[0].capitalize(), SECRET, verified=True)
                accounts.add_member(tenant_id, user.id, role)

        def staff(_tenant_id: uuid.UUID) -> None:
            for role, email in STAFF.items():
                user = accounts.make_user(email, role.capitalize(), SECRET, verified=True)
                db.session.flush()
                db.session.add(StaffRole(user_id=user.id, role=role))

        with self.apps["owner"].app_context():
            for what, tenant_id in ((make, self.tenant_id), (staff, PLATFORM_TENANT)):
                with bind_tenant(tenant_id), transaction():
                    what(tenant_id)

    def _kinto(self, password: str) -> uuid.UUID:
        with self.apps["web"].app_context():
            return connect_kinto(self.tenant_id, self.kinto.origin, password)

    def _kinto_both_ways(self) -> None:
        self.kinto.put_all("contacts", [contact(n) for n in range(60)])
        made = self._kinto(PASSWORD)
        wait_for(lambda: self.ask("SELECT state FROM connections") == "ready", about="the connection test")
        self.owner.execute(
            "UPDATE installation_streams SET enabled = stream = 'contacts', direction = 'both', conflict_policy = 'ask'"
        )
        with self.apps["web"].app_context():
            activate(self.tenant_id, made)
        self._wait_for_run()
        self.kinto.put_all("contacts", [contact(n, city="Oslo", phone="+47 1") for n in range(8)])

        def edit(tenant_id: uuid.UUID) -> None:
            found = db.session.scalars(db.select(Record).where(Record.tenant_id == tenant_id))
            ids = {str(record.data["email"]): record.id for record in found}
            record_edits.update(tenant_id, ids["person9@example.test"], {"phone": "+49 30 1234"}, writer="Fieldstone")
            for number in range(6):
                values = {"city": "Bonn", "phone": "+49 1"} if number % 2 else {"city": "Bonn"}
                record_edits.update(tenant_id, ids[f"person{number}@example.test"], values, writer="Fieldstone")

        self.act(edit)
        self.act(runs.start_run, made, trigger="manual")
        self._wait_for_run()

    def _wait_for_run(self) -> None:
        newest = "SELECT state FROM runs ORDER BY id DESC LIMIT 1"
        wait_for(lambda: self.ask(newest) in ("done", "failed"), 60, about="the run")

    def _install(self, page: Page) -> None:
        page.goto(f"{self.url}/integrations/sandbox")
        page.locator("form[action$='/install'] button").first.click()
        page.get_by_role("button", name="Connect Sandbox CRM").click()
        page.get_by_role("button", name="Allow").click()
        page.get_by_role("link", name="Go to step 2").click()  # Waits for the test of the connection.
        page.get_by_role("button", name="Save and go to step 3").click()

    def _sandbox(self, page: Page) -> None:
        self._install(page)
        page.get_by_role("button", name="Go to step 4").click()
        expect(page.get_by_text("What would happen to each kind of data")).to_be_visible(timeout=40_000)
        page.get_by_role("button", name="Start syncing").click()
        expect(page.locator("#live-run")).to_have_count(0, timeout=60_000)
        registered = "SELECT count(*) FROM endpoints WHERE state = 'active'"
        wait_for(lambda: self.ask(registered), 30, about="the webhook subscription")
        for number in (104, 105, 106):
            fields = {"firstname": "Person", "lastname": str(number), "email": f"person{number}@example.com"}
            requests.post(f"{self.vendor}/contacts/contact-{number}", data=fields, timeout=5)

    def _half_set_up(self, page: Page) -> None:
        self._install(page)
        page.goto(page.url.replace("/setup/map", "/setup/activate"))

    def _broken(self) -> None:
        self.kinto.put_all("companies", [company(n) for n in range(5)])
        made = self._kinto(PASSWORD)
        wait_for(lambda: self.ask(f"SELECT c.state FROM connections c JOIN installations i ON i.connection_id = c.id "
                                  f"WHERE i.id = '{made}'") == "ready", about="the connection test")  # fmt: skip
        self.owner.execute("UPDATE installations SET name = 'Kinto, companies' WHERE id = %s", (made,))
        self.owner.execute(
            "UPDATE installation_streams SET enabled = stream = 'companies' WHERE installation_id = %s", (made,)
        )
        with self.apps["web"].app_context():
            activate(self.tenant_id, made)
        self._wait_for_run()

        def spoil(tenant_id: uuid.UUID) -> None:
            installation = installations.get_installation(tenant_id, made)
            credentials.seal_secret(tenant_id, installation.connection_id, "password", "changed over there")
            runs.start_run(tenant_id, made, trigger="manual")

        self.act(spoil)
        self._wait_for_run()

    def _around(self) -> None:
        users = {email: self._user(email) for email in PEOPLE.values()}
        owner = users[PEOPLE["owner"]]
        wish = Wish("Product", self.receiver_url, ("record.updated", "record.created"))
        self.act(lambda tenant_id: subscriptions.create(tenant_id, wish))
        told = destinations.Wish("Team chat", "problems", "https://chat.example.com/hook")
        self.act(destinations.create, "slack", told, user_id=owner.id)
        self.act(lambda tenant_id: invitations.invite(tenant_id, "Aldgate", "ines@example.com", "member", user=owner))
        self.act(integration_requests.ask, users[PEOPLE["member"]], "Datev", reason="Our accountant uses it.")
        self.act(support_grants.grant, owner.id, hours=4, reason="Contacts stopped coming in.")
        self.act(
            lambda tenant_id: record_edits.create(tenant_id, "contact", {"email": "new@example.com"}, writer="Host")
        )
        wait_for(lambda: self.ask("SELECT count(*) FROM dispatches"), about="a dispatch")

    @property
    def receiver_url(self) -> str:
        """Where events of the company go."""
        return self.receiver.url

    def _user(self, email: str) -> User:
        with self.apps["owner"].app_context():
            found = accounts.find_user(email)
            assert found is not None
            db.session.expunge(found)
            return found
