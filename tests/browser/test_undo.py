"""Undo of a run in a real Chromium: looked at, confirmed, done, with the real processes."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from app.db import db
from app.services import accounts, record_edits, runs
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.counterparts.kinto import PASSWORD, Kinto, contact
from tests.factories.tenants import activate, connect_kinto, make_tenant
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.browser


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

    def ask(self, query: str) -> object:
        row = self.owner.execute(query).fetchone()
        return row[0] if row else None

    def wait_for_run(self) -> None:
        wait_for(lambda: self.ask("SELECT state FROM runs ORDER BY id DESC LIMIT 1") == "done", about="the run")

    def run(self) -> uuid.UUID:
        with self.apps["web"].app_context(), bind_tenant(self.tenant_id), transaction():
            found = runs.start_run(self.tenant_id, self.installation_id, trigger="manual").id
        self.wait_for_run()
        return found

    def sign_in(self, page: Page) -> None:  # noqa: F811
        page.goto(f"{self.url}/sign-in")
        page.get_by_label("E-mail").fill("ada@example.com")
        page.get_by_label("Password").fill("a long password")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.url}/installations")


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


def test_a_run_is_undone(site: Site, page: Page) -> None:  # noqa: F811
    site.kinto.put_all("contacts", [contact(n, city="Bonn", phone="1") for n in range(7)])
    site.kinto.put_all("contacts", [contact(n) for n in range(100, 103)])
    site.kinto.delete("contacts", "contact-9")
    run_id = site.run()
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        edited = db.session.execute(db.text("SELECT id FROM records WHERE data->>'score' = '6'")).scalar_one()
        record_edits.update(site.tenant_id, edited, {"city": "Oslo"}, writer="Host")
    site.sign_in(page)
    page.goto(f"{site.url}/runs/{run_id}")
    page.get_by_role("button", name="Undo this run").click()
    expect(page.get_by_text("6 records would be put back")).to_be_visible()
    expect(page.get_by_text("3 records would be deleted here")).to_be_visible()
    expect(page.get_by_text("1 record would be brought back")).to_be_visible()
    expect(page.get_by_text("1 left alone")).to_be_visible()
    expect(page.get_by_role("link", name="Ada Byron 6")).to_be_visible()
    expect(page.get_by_text("Former values flow out like any other edit.")).to_be_visible()
    check_axe(page)
    page.screenshot(path="/tmp/undo-ready.png", full_page=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path="/tmp/undo-ready-dark.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path="/tmp/undo-ready-390.png", full_page=True)
    page.set_viewport_size({"width": 1440, "height": 900})

    page.get_by_role("button", name="Undo 10 records").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.screenshot(path="/tmp/undo-confirm.png")
    page.get_by_role("button", name="Undo the run").click()
    expect(page.get_by_role("heading", name="This run was undone")).to_be_visible()
    expect(page.get_by_text("6 records put back")).to_be_visible()
    check_axe(page)
    page.screenshot(path="/tmp/undo-done.png", full_page=True)
    wait_for(lambda: site.kinto.get("contacts", "contact-3")["city"] == "London", about="the former values there")
    assert site.kinto.get("contacts", "contact-6")["city"] in ("Bonn", "Oslo")
    assert site.ask("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 20
    page.goto(f"{site.url}/runs/{run_id}")
    expect(page.get_by_text("This run was undone.")).to_be_visible()
    expect(page.get_by_text("Ada Byron began it")).to_be_visible()
    assert page.get_by_role("button", name="Undo this run").count() == 0
    check_axe(page)
