"""Notifications and all data of a company in a real Chromium, with real workers and a real receiver."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from app.services import accounts, record_edits
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.events.receiver import Receiver
from tests.factories.tenants import make_tenant
from tests.processes import Processes

pytestmark = pytest.mark.browser


@pytest.fixture
def url(
    environment: dict[str, str], clean: None, apps: dict[str, Flask], owner: psycopg.Connection, tmp_path: Path
) -> Iterator[str]:
    """The address of a Patchbay with one company, its owner Ada, and one record."""
    processes = Processes(environment, tmp_path / "log")
    processes.start("web", "dispatcher", "fast-1", "sync-1", "send-1")
    tenant_id = make_tenant(apps)
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        user = accounts.make_user("ada@example.com", "Ada Byron", "a long password")
        accounts.add_member(tenant_id, user.id, "owner")
        record_edits.create(tenant_id, "contact", {"full_name": "Priya", "email": "p@example.test"}, writer="Ada")
    yield processes.url
    processes.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def sign_in(page: Page, url: str) -> None:  # noqa: F811
    page.goto(f"{url}/sign-in")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{url}/home")


def test_a_destination_is_added_and_its_test_shows_what_came_of_it(
    url: str, page: Page, receiver: Receiver  # noqa: F811
) -> None:  # fmt: skip
    sign_in(page, url)
    page.get_by_role("link", name="Notifications").click()
    check_axe(page)
    page.get_by_role("link", name="Add a destination").click()
    check_axe(page)
    page.get_by_label("Name").fill("#ops")
    page.get_by_label("Address").fill("not an address")
    page.get_by_role("button", name="Add the destination").click()
    expect(page.get_by_text("Give the address as")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("#ops")
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Add the destination").click()
    page.get_by_role("button", name="Send a test message").click()
    # Without a reload: the log looks until there is an answer.
    expect(page.get_by_text("Delivered", exact=True)).to_be_visible()
    assert "This is a test" in json.loads(receiver.messages[0].body)["text"]
    receiver.answer = lambda _: 404
    page.get_by_role("button", name="Send a test message").click()
    expect(page.get_by_text("Answered 404.")).to_be_visible()
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_secret_of_a_webhook_is_exchanged(url: str, page: Page, receiver: Receiver) -> None:  # noqa: F811
    sign_in(page, url)
    page.goto(f"{url}/notifications/new")
    page.get_by_label("What it is").select_option("webhook")
    page.get_by_label("Name").fill("Status board")
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_role("button", name="Add the destination").click()
    first = page.get_by_label("The signing secret").input_value()
    page.get_by_role("button", name="Make a new secret").click()
    page.get_by_role("button", name="Make the new secret").click()
    expect(page.get_by_text("two sign")).to_be_visible()
    assert page.get_by_label("The signing secret").input_value() != first
    check_axe(page)
    page.get_by_role("button", name="Send a test message").click()
    expect(page.get_by_text("Delivered", exact=True)).to_be_visible()
    assert len(receiver.messages[0].headers["webhook-signature"].split()) == 2
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_everything_is_taken_along_and_nearly_erased(url: str, page: Page, tmp_path: Path) -> None:  # noqa: F811
    sign_in(page, url)
    page.get_by_role("link", name="Your data").click()
    page.get_by_role("button", name="Make an export").click()
    link = page.get_by_role("link", name="Fetch the file")
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "all.zip")
    assert b"Priya" in zipfile.ZipFile(tmp_path / "all.zip").read("tables/records.jsonl")
    check_axe(page)
    page.get_by_label("Name, as it stands above").fill("Aldgate")
    page.get_by_role("button", name="Erase everything").click()
    expect(page.get_by_text("Type Aldgate Joinery exactly")).to_be_visible()
    page.get_by_label("Name, as it stands above").fill("Aldgate Joinery")
    page.get_by_role("button", name="Erase everything").click()
    banner = page.get_by_role("alert").filter(has_text="Everything of Aldgate Joinery is erased")
    expect(banner).to_be_visible()
    check_axe(page)
    page.goto(f"{url}/home")
    banner.get_by_role("link", name="Take it back").click()
    page.get_by_role("button", name="Take it back").click()
    expect(banner).to_have_count(0)
