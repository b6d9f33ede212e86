"""Keys of the API in a real Chromium: made, shown once, replaced; the API's own page; both themes and a phone."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import check_axe, page
from tests.factories.api_keys import make_key, tenant_caller
from tests.factories.people import sign_in
from tests.factories.tenants import make_tenant
from tests.processes import Processes

__all__ = ["page"]
pytestmark = pytest.mark.browser


@pytest.fixture
def tenant(apps: dict[str, Flask], clean: None) -> uuid.UUID:
    return make_tenant(apps)


@pytest.fixture
def site(environment: dict[str, str], tenant: uuid.UUID, tmp_path: Path) -> Iterator[str]:
    processes = Processes(environment, tmp_path / "log")
    processes.start("web")
    yield processes.url
    processes.stop()


def _keep(page: Page, name: str) -> None:
    """Pictures to look at, when somebody asks for them."""
    if folder := os.environ.get("PATCHBAY_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_a_key_is_made_shown_once_and_replaced(
    page: Page, site: str, apps: dict[str, Flask], tenant: uuid.UUID
) -> None:
    make_key(apps, tenant, "list", "read")
    cookie = sign_in(apps, tenant).get_cookie("patchbay")
    assert cookie is not None
    page.context.add_cookies([{"name": "patchbay", "value": cookie.value, "url": site}])
    page.goto(f"{site}/api-keys")
    page.get_by_label("What it is for").fill("Billing import")
    write = page.get_by_role("checkbox", name="write Write records")
    expect(write).to_be_hidden()
    page.get_by_label("What it may do").select_option("custom")
    write.check()
    _keep(page, "keys-scopes")
    page.get_by_role("button", name="Make key").click()
    value = page.get_by_label("The new key").input_value()
    assert value.startswith("pb_t_")
    _keep(page, "keys-light")
    check_axe(page)
    page.goto(f"{site}/api-keys")
    expect(page.get_by_label("The new key")).to_have_count(0)
    page.get_by_role("button", name="Replace Billing import").click()
    _keep(page, "keys-dialog")
    page.get_by_role("button", name="Make the new key").click()
    assert page.get_by_label("The new key").input_value() != value
    expect(page.get_by_text("being replaced")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    _keep(page, "keys-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    _keep(page, "keys-phone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_api_page_can_be_read(page: Page, site: str) -> None:
    page.goto(f"{site}/api/docs")
    page.locator("#rotate_key summary").click()
    expect(page.get_by_role("rowheader", name="overlap_hours")).to_be_visible()
    _keep(page, "docs-light")
    check_axe(page)
    page.emulate_media(color_scheme="dark")
    _keep(page, "docs-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    _keep(page, "docs-phone")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_guest_sets_up_and_leaves(page: Page, site: str, apps: dict[str, Flask], tenant: uuid.UUID) -> None:
    answer = tenant_caller(apps, tenant)(
        "POST", "/connect-sessions",
        {"person": "Maja Lindqvist", "integration": "kinto", "return_url": "https://app.example.com/settings"},
    )  # fmt: skip
    page.goto(site + answer.json["url"].removeprefix("http://localhost"))
    page.get_by_role("button", name="Install Kinto").click()
    expect(page.get_by_label("Server")).to_be_visible()
    _keep(page, "guest-light")
    check_axe(page)
    page.emulate_media(color_scheme="dark")
    _keep(page, "guest-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    _keep(page, "guest-phone")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("button", name="Leave, finish later").click()
    expect(page.get_by_role("link", name="Back to Fieldstone")).to_have_attribute(
        "href", "https://app.example.com/settings"
    )
    _keep(page, "guest-done")
    check_axe(page)
