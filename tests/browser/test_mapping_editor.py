"""The mapping editor in a real Chromium, with the real processes and a Sandbox CRM that has fields of its own."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect, sync_playwright

from app.services import installations, mappings, problems, stream_settings
from app.services.stream_settings import StreamSettings
from tests.browser.test_dry_run import shoot
from tests.browser.test_main_job import _FLAGS, check_axe
from tests.conftest import find_chromium
from tests.connectors.sandbox.running import Running
from tests.factories.mappings import STREAM, Workspace
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.browser


@pytest.fixture
def vendor() -> Iterator[Running]:
    found = Running()
    yield found
    found.stop()


@pytest.fixture
def processes(environment: dict[str, str], clean: None, tmp_path: Path) -> Iterator[Processes]:
    found = Processes(environment, tmp_path / "log")
    found.start("web", "dispatcher", "fast-1", "sync-1")
    yield found
    found.stop()


@pytest.fixture
def work(processes: Processes, apps: dict[str, Flask], vendor: Running) -> Workspace:
    """An installation that is being set up, with its account's own fields loaded."""
    return Workspace(apps, vendor=vendor, state="setting_up")


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=_FLAGS)
        yield browser
        browser.close()


def open_page(chromium: Browser, work: Workspace, url: str, *, script: bool = True) -> Page:
    """Return a page of somebody who is signed in."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, java_script_enabled=script, base_url=url
    )  # fmt: skip
    cookie = work.browser().get_cookie("patchbay")
    assert cookie is not None
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": url}])
    page = context.new_page()
    page.set_default_timeout(20_000)
    return page


@pytest.fixture
def page(chromium: Browser, work: Workspace, processes: Processes) -> Iterator[Page]:
    """A page that fails the test on an error of its script; a refused form is none, though Chromium logs it."""
    found = open_page(chromium, work, processes.url)
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on(
        "console",
        lambda message: (
            errors.append(message.text) if message.type == "error" and "status of 422" not in message.text else None
        ),
    )
    yield found
    assert errors == []


def load_fields(page: Page, work: Workspace) -> None:
    page.goto(work.base)
    page.get_by_role("button", name="Load the fields again").click()
    expect(page.locator("#mapping-fields")).to_contain_text("fields have been loaded")
    expect(page.locator("#mapping-preview .df")).to_be_visible()


def test_a_mapping_is_set_up(page: Page, work: Workspace) -> None:
    load_fields(page, work)
    expect(page.locator("#mapping-state")).to_contain_text("15 of 15 fields mapped")
    check_axe(page)

    # A type conflict is refused; one button takes the transform that helps.
    page.locator("#more-score").click()
    page.locator("#p-score select[name=source]").first.select_option(label="Contract value (text)")
    page.get_by_role("button", name="Save Score").click()
    note = page.locator("#map-score .map-note")
    expect(note).to_contain_text("Contract value is a text, but Score is a number.")
    expect(note).to_contain_text("Of 50 sampled records, 50 have a value such as “£")
    check_axe(page)
    shoot(page, "map-conflict")
    note.get_by_role("button", name="Use “read number").click()
    expect(page.locator("#step-0-score")).to_have_text("Score: read number, 1,234.5")
    expect(page.locator("#map-score .map-note")).to_have_count(0)
    expect(page.locator("#more-score")).to_be_focused()

    # Transforms: one is added and set, moved, taken away.
    page.locator("#add-city").click()
    page.locator("#map-city").get_by_role("button", name="change case").click()
    page.locator("#p-city").get_by_label("Write in").select_option("upper")
    check_axe(page)
    page.locator("#p-city").get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#step-0-city")).to_have_text("City: upper case")
    expect(page.locator("#mapping-preview")).to_contain_text("OSLO")
    page.locator("#add-city").click()
    page.locator("#map-city").get_by_role("button", name="trim").click()
    expect(page.locator("#step-1-city")).to_have_text("City: trim")
    page.locator("#step-1-city").click()
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator("#step-0-city")).to_have_text("City: trim")
    page.locator("#p-city").get_by_role("button", name="Take away").click()
    expect(page.locator("#step-0-city")).to_have_text("City: upper case")

    # Several fields are joined; what is typed wrong stays and is told at its place.
    page.locator("#more-company_name").click()
    page.locator("#p-company_name select[name=source]").nth(1).select_option(label="City (text)")
    page.get_by_role("button", name="Save Company name").click()
    expect(page.locator("#step-0-company_name")).to_contain_text("join with space")
    page.locator("#add-job_title").click()
    page.locator("#map-job_title").get_by_role("button", name="split").click()
    page.locator("#p-job_title").get_by_label("Part").fill("the last")
    page.locator("#p-job_title").get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#p-job_title .err")).to_contain_text("Give a whole number.")
    expect(page.locator("#p-job_title").get_by_label("Part")).to_have_value("the last")

    # What is not mapped is suggested, and all suggestions are taken at once.
    for target in ("phone", "country"):
        page.locator(f"#more-{target}").click()
        page.locator(f"#p-{target}").get_by_role("button", name="Do not map").click()
        expect(page.locator(f"#map-{target}")).to_contain_text("Connect, suggested")
    page.get_by_role("button", name="Connect all suggested (2)").click()
    expect(page.locator("#mapping-state")).to_contain_text("15 of 15 fields mapped")
    page.get_by_label("Search fields").fill("lifecycle")
    expect(page.locator(".map-r")).to_have_count(1)
    assert work.content().draft is None


def run_once(work: Workspace, owner: psycopg.Connection) -> None:
    """Let contacts flow both ways, activate, and wait for the first run."""

    def start() -> None:
        content = mappings.get_content(work.tenant_id, work.installation_id, STREAM)
        for stream in installations.list_streams(work.tenant_id, work.installation_id):
            stream.enabled = stream.stream == STREAM
        fields = {field.name: field for field in work.fields(content)}
        stream_settings.save(content.installed, StreamSettings("both"), fields, user_id=work.user_id)
        installations.activate(work.tenant_id, work.installation_id, user_id=work.user_id)

    work.act(start)
    wait_for(
        lambda: owner.execute("SELECT state FROM runs").fetchone() == ("done",), 60, about="the first run"
    )  # fmt: skip


def _flow_in_only(page: Page, work: Workspace) -> None:
    """What cannot be says why; an edit waits, with what it costs."""
    page.locator("#way-full_name").click()
    expect(page.locator("#p-full_name")).to_contain_text("First name and Full name both flow out to First name.")
    check_axe(page)
    page.locator("#way-phone").click()
    page.locator("#p-phone").get_by_role("button", name="Into Fieldstone").click()
    expect(page.locator("#way-phone")).to_have_attribute("title", "Into Fieldstone only")
    bar = page.locator("#mapping-bar")
    expect(bar).to_contain_text("1 change, not yet in force.")
    expect(bar).to_contain_text("The next run reads 1,000 contacts again: about 10 calls")
    bar.locator("summary").click()
    expect(bar).to_contain_text("Phone flows in, before it flowed both ways")
    check_axe(page)
    shoot(page, "map-draft")
    assert work.content().installed.mapping_version == 1


def _look_at_one_record(page: Page) -> None:
    """A record that somebody means, the way out."""
    page.locator("#look-q").fill("contact-7")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#mapping-preview")).to_contain_text("Back to the samples")
    expect(page.locator("#mapping-preview .df")).to_be_visible()
    page.locator("#look-way-out").click()
    expect(page.locator("#mapping-preview")).to_contain_text("What Fieldstone would send to Sandbox CRM.")
    expect(page.locator("#v-phone-1")).to_have_text("+44 20 7946 0007")
    check_axe(page)
    page.locator("#look-q").fill("nobody@example.test")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#look-e")).to_contain_text("No record with “nobody@example.test” is linked yet.")


def _bring_a_version_back(page: Page) -> None:
    page.get_by_role("link", name="Versions").click()
    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
    check_axe(page)
    shoot(page, "map-versions")
    page.get_by_role("button", name="Bring back version 1").click()
    expect(page.locator("#mapping-bar")).to_contain_text("1 change, not yet in force.")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#mapping-bar .bar")).to_have_count(0)


def _find_a_new_field(page: Page, work: Workspace, vendor: Running) -> None:
    vendor.store.set_property("contacts", "shoe_size", "number")
    page.get_by_role("button", name="Load the fields again").click()
    expect(page.locator("#mapping-fields")).to_contain_text("17 fields have been loaded: 1 new")
    page.get_by_role("link", name="See what it means").click()
    expect(page.get_by_role("heading", name="Shoe size is new")).to_be_visible()
    check_axe(page)
    shoot(page, "map-drift")
    page.get_by_role("button", name="Leave it").click()
    expect(page.get_by_text("Nothing is open")).to_be_visible()
    assert work.act(lambda: [p.code for p in problems.list_open(work.tenant_id)]).count("schema_drift") == 0


def test_a_mapping_in_use_is_changed(page: Page, work: Workspace, vendor: Running, owner: psycopg.Connection) -> None:
    load_fields(page, work)
    run_once(work, owner)
    page.goto(work.base)
    expect(page.locator("#mapping-preview")).to_contain_text("Linked with a record in Fieldstone")
    _flow_in_only(page, work)
    _look_at_one_record(page)
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#toasts")).to_contain_text("Version 2 is in force.")
    assert work.content().installed.mapping_version == 2
    _bring_a_version_back(page)
    _find_a_new_field(page, work, vendor)
    settings = f"/installations/{work.installation_id}/settings"
    page.goto(settings)
    check_axe(page)
    shoot(page, "settings")
    page.locator("#s-contacts input[value=in]").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Save and read again")).to_be_visible()
    check_axe(page)
    shoot(page, "settings-cost")
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("", "/versions", "/unmapped", "/drift", "/rules/full_name?part=row", "/rules/email?part=direction"):
        page.goto(work.base + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.goto(settings)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_works_without_script(chromium: Browser, processes: Processes, work: Workspace) -> None:
    page = open_page(chromium, work, processes.url, script=False)
    page.goto(work.base)
    page.locator("#add-city").click()
    page.locator("#map-city").get_by_role("button", name="change case").click()
    page.locator("#p-city").get_by_label("Write in").select_option("upper")
    page.locator("#p-city").get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#step-0-city")).to_have_text("City: upper case")
    page.locator("#way-city").click()
    page.get_by_role("button", name="Off: not synced").click()
    expect(page.locator("#map-city .wire.off")).to_have_count(1)
    page.locator("#more-notes").click()
    page.get_by_role("button", name="Do not map").click()
    expect(page.locator("#mapping-state")).to_contain_text("14 of 15 fields mapped")
    page.get_by_role("link", name="Show unmapped fields").click()
    page.locator("tr", has_text="Notes").get_by_role("button", name="Map").click()
    expect(page.locator("#mapping-state")).to_contain_text("15 of 15 fields mapped")
