"""Why a record is not in sync, and its trace, in a real Chromium over a real Kinto."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from app.services import accounts, sessions
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs import drain as drain_module
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.counterparts.asked import Asked, limit_phone
from tests.counterparts.kinto import Kinto, contact
from tests.counterparts.test_two_way_on_kinto import Owner
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.browser
LONG = "+44 20 7946 0188 ext. 4410"


class Site:
    """An active installation of Kinto with refused and unread records, and an admin who is signed in."""

    def __init__(self, url: str, asked: Asked, cookie: str) -> None:
        self.url, self.asked, self.cookie = url, asked, cookie
        self.installation = f"{url}/installations/{asked.installation_id}"

    def record_of(self, email: str) -> uuid.UUID:
        return self.asked.record(email)[0]

    def enter(self, page: Page) -> None:  # noqa: F811  # the fixture's value
        page.context.add_cookies([{"name": "patchbay", "value": self.cookie, "url": self.url}])

    def has(self, query: str) -> bool:
        return self.asked.count(query) > 0


@pytest.fixture
def site(
    environment: dict[str, str], clean: None, apps: dict[str, Flask], owner: Owner, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:  # fmt: skip
    monkeypatch.setattr(drain_module, "worker_app", lambda: apps["worker"])
    kinto = Kinto(tmp_path, settings={"kinto.experimental_collection_schema_validation": "true"}).start()
    kinto.put_all("contacts", [contact(n) for n in range(6)])
    kinto.put_all("contacts", [contact(7, birthday="31/02/1990"), contact(8, email="not-an-address")])
    asked = Asked(apps, owner, kinto, drain_module.drain)
    asked.start()
    limit_phone(kinto)
    asked.edit("person1@example.test", phone=LONG, city="Oslo")
    asked.settle()
    kinto.put_all("contacts", [contact(20)])
    with apps["owner"].app_context(), bind_tenant(asked.tenant_id), transaction():
        user = accounts.make_user("maja@example.com", "Maja Lindqvist", "a long password")
        accounts.add_member(asked.tenant_id, user.id, "admin")
        settings = apps["owner"].extensions["settings"]
        cookie = sessions.start_session(user.id, asked.tenant_id, settings, ip="", user_agent="")
    processes = Processes(environment, tmp_path / "log")
    processes.start("web", "fast-1", "sync-1", "dispatcher")
    yield Site(processes.url, asked, cookie)
    processes.stop()
    kinto.stop()


def test_a_refused_record_is_found_by_its_address_and_names_field_and_button(site: Site, page: Page) -> None:  # noqa: F811
    site.enter(page)
    page.goto(site.installation)
    page.get_by_role("link", name="Why not in sync?").click()
    check_axe(page)
    page.get_by_label("Record", exact=True).fill("person7@example.test")
    page.get_by_role("button", name="Find out").click()
    expect(page.locator("#diagnosis h2").first).to_have_text(
        "Birthday: the value (hidden, as it is sensitive) is not a date of the form 2026-11-24."
    )
    assert "q=person7%40example.test" in page.url
    expect(page.get_by_role("img", name="The way of Ada Byron 7")).to_be_visible()
    check_axe(page)
    page.get_by_role("link", name="Change the mapping of Birthday").click()
    page.wait_for_url("**/mapping/contacts/rules/birthday?part=row#map-birthday")
    expect(page.locator("#map-birthday").get_by_role("button", name="Save Birthday")).to_be_visible()
    page.goto(f"{site.installation}/why?q=not-an-address")
    expect(page.get_by_text("“not-an-address” is not an e-mail address").first).to_be_visible()


def test_a_record_that_nobody_has_read_is_asked_for_and_read(site: Site, page: Page) -> None:  # noqa: F811
    site.enter(page)
    page.goto(f"{site.url}/records/why?q=contact-20")
    expect(page.locator("#diagnosis h2").first).to_contain_text("it has not been read yet")
    check_axe(page)
    page.get_by_role("button", name="Read it now").click()
    wait_for(lambda: site.has("SELECT count(*) FROM links WHERE external_id = 'contact-20'"), about="the record")
    page.goto(f"{site.installation}/why?q=contact-20")
    expect(page.locator("#diagnosis h2").first).to_have_text("Both sides agree.")
    page.get_by_label("Record", exact=True).fill("nobody@example.test")
    page.keyboard.press("Enter")
    expect(page.locator("#diagnosis h2").first).to_contain_text("Kinto can only be asked by id")
    page.goto(f"{site.installation}/why?q=contact-404")
    expect(page.locator("#diagnosis h2").first).to_contain_text("Kinto has no record “contact-404” among its contacts")


def test_the_trace_shows_each_field_and_the_story_and_lets_a_value_be_changed(site: Site, page: Page) -> None:  # noqa: F811
    site.enter(page)
    address = f"{site.url}/records/{site.record_of('person1@example.test')}"
    page.goto(address)
    row = page.locator("#record-fields tr", has_text="Phone")
    expect(row).to_contain_text("Refused")
    expect(row).to_contain_text("Host")
    expect(page.locator("#story")).to_contain_text("Refused by Kinto")
    expect(page.locator("#story")).to_contain_text("City and Phone changed in")
    check_axe(page)
    page.get_by_role("link", name="Writes").click()
    expect(page.locator("#story li")).to_have_count(1)
    page.get_by_role("button", name="Show what Kinto has now").click()
    expect(page.get_by_role("columnheader", name="Kinto now")).to_be_visible()
    page.get_by_role("link", name="Edit Phone").click()
    expect(page.get_by_text("Kinto, contact-1: it is written within seconds.")).to_be_visible()
    check_axe(page)
    page.get_by_label("Phone").fill("+44 20 1")
    page.get_by_role("button", name="Save Phone").click()
    page.wait_for_url(address)
    wait_for(lambda: site.asked.kinto.get("contacts", "contact-1")["phone"] == "+44 20 1", about="the phone in Kinto")
    page.reload()
    expect(page.locator("#record-fields tr", has_text="Phone")).to_contain_text("Maja Lindqvist")
    page.get_by_role("link", name="Edit Birthday").click()
    page.get_by_label("Birthday", exact=True).fill("")
    page.get_by_role("button", name="Save Birthday").click()
    expect(page.get_by_text("Birthday stays as it is.")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (address, f"{site.installation}/why?q=person7%40example.test", f"{address}/fields/phone"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_a_record_is_deleted_there_as_well_and_made_again_with_its_restore(site: Site, page: Page) -> None:  # noqa: F811
    site.enter(page)
    address = f"{site.url}/records/{site.record_of('person2@example.test')}"
    page.goto(address)
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Kinto, contact-2: it is deleted within seconds.")).to_be_visible()
    check_axe(page)
    page.get_by_role("button", name="Delete it").click()
    ids = lambda: {item["id"] for item in site.asked.kinto.all("contacts")}  # noqa: E731
    wait_for(lambda: "contact-2" not in ids(), about="the delete in Kinto")
    before = len(ids())
    page.goto(f"{site.installation}/why?q=person2%40example.test")
    expect(page.locator("#diagnosis h2").first).to_contain_text("It was deleted in")
    page.get_by_role("link", name="Restore it").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_label("Create it in Kinto again")).to_be_checked()
    page.get_by_role("button", name="Restore it").click()
    wait_for(lambda: len(ids()) == before + 1, about="the record in Kinto again")
