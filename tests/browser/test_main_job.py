"""The main job in a real Chromium: sign up, connect Sandbox CRM by OAuth, map, activate, repair a failed record."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from app.devstack.process import spawn, stop
from tests.conftest import find_chromium
from tests.factories.tenants import seed_catalog
from tests.processes import ROOT, Processes, free_port, wait_for

pytestmark = pytest.mark.browser
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def site(environment: dict[str, str], clean: None, apps: dict[str, Flask], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The addresses of Patchbay and of Sandbox CRM."""
    seed_catalog(apps)
    port = free_port()
    vendor = f"http://127.0.0.1:{port}"
    processes = Processes({**environment, "PATCHBAY_SANDBOX_URL": vendor}, tmp_path / "log")
    callback = f"{processes.url}/oauth/callback/sandbox"
    child = spawn(
        [sys.executable, "-m", "connectors.sandbox.vendor", "--port", str(port), "--redirect-uri", callback], cwd=ROOT
    )
    processes.start("web", "dispatcher", "fast-1", "sync-1")
    yield processes.url, vendor
    processes.stop()
    stop(child)


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser page that fails the test on a console error."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=_FLAGS)
        found = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        found.set_default_timeout(20_000)
        errors: list[str] = []
        found.on("pageerror", lambda error: errors.append(str(error)))

        def note(message: ConsoleMessage) -> None:
            # Chromium counts the answer to a form that does not fit as an error of its own, and that of no such page.
            if message.type == "error" and "422" not in message.text and "no-such" not in message.location["url"]:
                errors.append(message.text)

        found.on("console", note)
        yield found
        browser.close()
        assert errors == []


def check_axe(page: Page) -> None:
    """No accessibility violation, in light and in dark."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(400)  # Colours change over 120 ms, and later on a busy machine.
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]})
        assert found.violations_count == 0, f"{page.url} {scheme}\n{found.generate_report()}"
    page.emulate_media(color_scheme="light")


def _from_sign_up_to_the_first_run(page: Page, patchbay: str) -> None:
    page.goto(f"{patchbay}/sign-up")
    check_axe(page)
    page.get_by_label("Company").fill("Aldgate Joinery")
    page.get_by_label("Your name").fill("Maja Lindqvist")
    page.get_by_label("E-mail").fill("maja@aldgate-joinery.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url(f"{patchbay}/home")
    check_axe(page)
    page.get_by_role("link", name="Choose an integration").click()
    page.wait_for_url(f"{patchbay}/")
    check_axe(page)
    page.get_by_role("link", name="Sandbox CRM").click()
    check_axe(page)
    page.get_by_role("button", name="Install Sandbox CRM").click()
    check_axe(page)
    page.get_by_role("button", name="Connect Sandbox CRM").click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text("Connected to Acme Tools Ltd")).to_be_visible()
    check_axe(page)
    page.get_by_role("link", name="Go to step 2").click()
    check_axe(page)
    page.get_by_role("button", name="Save and go to step 3").click()
    page.get_by_role("link", name="Contacts").click()
    expect(page.locator("#mapping-preview .df")).to_be_visible()
    check_axe(page)
    page.get_by_role("button", name="Go to step 4").click()
    expect(page.get_by_text("What would happen to each kind of data")).to_be_visible(timeout=40_000)
    check_axe(page)
    page.get_by_role("button", name="Start syncing").click()
    expect(page.locator("#live-run")).to_have_count(0, timeout=40_000)
    expect(page.get_by_text("Incomplete")).to_be_visible()
    check_axe(page)


def _repair_a_record(page: Page, vendor: str) -> None:
    page.get_by_role("link", name="Failed records").click()
    expect(page.get_by_text("“not-an-address” is not an e-mail address").first).to_be_visible()
    assert page.get_by_role("button", name="Retry ", exact=False).count() >= 3
    check_axe(page)
    other = page.context.new_page()
    other.goto(f"{vendor}/contacts/contact-101")
    other.get_by_label("E-mail").fill("repaired@example.com")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_text("Saved.")).to_be_visible()
    other.close()
    row = page.locator("tr", has_text="not-an-address")
    row.get_by_role("button", name="Retry").click()
    page.wait_for_load_state()
    wait_for(
        lambda: page.reload() and page.get_by_text("not-an-address").count() == 0, about="the retried record to leave"
    )


def test_from_sign_up_to_a_repaired_record(site: tuple[str, str], page: Page) -> None:
    patchbay, vendor = site
    _from_sign_up_to_the_first_run(page, patchbay)
    _repair_a_record(page, vendor)
    page.goto(f"{patchbay}/records?type=contact&q=repaired%40example.com")
    page.locator("#record-list a.m").first.click()
    expect(page.get_by_text("repaired@example.com")).to_be_visible()
    check_axe(page)
    for path in ("/installations", "/problems", "/members", "/profile", "/audit", "/records"):
        page.goto(patchbay + path)
        check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/installations", "/problems"):
        page.goto(patchbay + path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} px wide"
