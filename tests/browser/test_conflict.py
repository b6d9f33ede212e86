"""Conflicts in a real Chromium: choose, write another value, apply to similar ones, take a decision back."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from tests.browser.test_main_job import check_axe, page
from tests.factories.conflicts import BASE, OURS, THEIRS, Desk
from tests.processes import Processes

__all__ = ["page"]
pytestmark = pytest.mark.browser
Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Desk:
    return Desk(apps, owner)


@pytest.fixture
def site(environment: dict[str, str], desk: Desk, tmp_path: Path) -> Iterator[str]:
    processes = Processes(environment, tmp_path / "log")
    processes.start("web")
    yield processes.url
    processes.stop()


def _sign_in(page: Page, site: str, desk: Desk) -> None:
    cookie = desk.browser().get_cookie("patchbay")
    assert cookie is not None
    page.context.add_cookies([{"name": "patchbay", "value": cookie.value, "url": site}])


def _card(page: Page, label: str) -> Any:
    return page.locator("section.card", has=page.get_by_role("heading", name=label, exact=True))


def _decide_what_changes_meanwhile(page: Page, site: str, desk: Desk, last: Any) -> None:
    """It is asked about once more. (A browser counts the refusal as an error of the page, so that is another page.)"""
    other = page.context.new_page()
    other.goto(f"{site}/conflicts/{last}")
    _card(other, "City").get_by_role("radio", name="HubSpot").check()
    desk.owner.execute('UPDATE conflicts SET theirs = \'{"city": "Rome"}\' WHERE id = %s', (last,))
    other.get_by_role("button", name="Save decision").click()
    expect(other.get_by_role("alert")).to_contain_text("A value has changed since this page was shown")
    expect(_card(other, "City")).to_contain_text("Rome")
    other.get_by_role("button", name="Save decision").click()
    expect(other.get_by_role("heading", name="No conflict is open")).to_be_visible()
    other.close()


def test_choose_write_another_value_and_apply_to_similar(page: Page, site: str, desk: Desk) -> None:
    last = desk.clash("Last one", city=("London", "Bonn", "Oslo"))
    for number in range(11):
        desk.clash(f"Person {number}")
    both = desk.clash("Priya Raman", phone=(BASE, THEIRS, OURS), country=("GB", "DE", "NO"))
    _sign_in(page, site, desk)
    page.goto(f"{site}/conflicts")
    check_axe(page)
    page.get_by_role("link", name="Priya Raman").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Priya Raman: two fields changed in both HubSpot and Fieldstone"
    )
    check_axe(page)

    # The panel says what would be written where, as soon as something is chosen.
    _card(page, "Phone").get_by_role("radio", name="HubSpot").check()
    decision = page.locator("#decision")
    expect(decision.get_by_text("Written to Fieldstone")).to_be_visible()
    expect(decision).to_contain_text(f"Phone {THEIRS}")
    expect(decision).to_contain_text("Still to choose: Country.")
    country = _card(page, "Country")
    country.get_by_text("Write another value").click()
    country.get_by_role("textbox").fill("SE")
    country.get_by_role("textbox").blur()
    expect(country.get_by_role("radio", name="Another value")).to_be_checked()
    expect(decision.get_by_text("Written to HubSpot")).to_be_visible()
    expect(decision).to_contain_text("Country SE")
    check_axe(page)
    page.get_by_role("button", name="Save decision").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert desk.row(both, "choices") == ({"phone": "theirs", "country": "edited"},)

    # The next one came into the same page, with an address of its own.
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Person 10: one field changed in both HubSpot and Fieldstone"
    )
    expect(page).to_have_url(re.compile(r"/conflicts/[0-9a-f-]+\?after="))
    _card(page, "Phone").get_by_role("radio", name="Fieldstone").check()
    expect(decision).to_contain_text("Keep Fieldstone’s Phone in 10 similar conflicts too")
    decision.get_by_role("checkbox").check()
    page.get_by_role("button", name="Save decision").click()
    expect(page.get_by_text("11 conflicts are settled.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Last one: one field changed in both HubSpot and Fieldstone"
    )
    assert desk.all("SELECT count(*) FROM conflicts WHERE state = 'open'") == [(1,)]

    _decide_what_changes_meanwhile(page, site, desk, last)

    page.goto(f"{site}/conflicts")
    check_axe(page)
    page.goto(f"{site}/conflicts/{last}")
    check_axe(page)
    page.get_by_role("button", name="Take the other value instead").click()
    expect(
        page.get_by_text("Maja Lindqvist, who chose our value").or_(page.locator(".took", has_text="Oslo"))
    ).to_be_visible()
    assert desk.row(last, "choices") == ({"city": "ours"},)


def test_works_with_the_keyboard_at_390_px_and_without_script(page: Page, site: str, desk: Desk) -> None:
    one = desk.clash()
    gone, _ = desk.deleted_there()
    fits, _ = desk.match(3)
    _sign_in(page, site, desk)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/conflicts", f"/conflicts/{one}", f"/conflicts/{gone}", f"/conflicts/{fits}"):
        page.goto(site + path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} px wide"
        check_axe(page)
    page.goto(f"{site}/conflicts/{one}")
    page.get_by_role("radio", name="HubSpot").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Fieldstone")).to_be_checked()

    assert page.context.browser is not None
    plain = page.context.browser.new_context(java_script_enabled=False).new_page()
    _sign_in(plain, site, desk)
    plain.goto(f"{site}/conflicts/{one}")
    plain.get_by_role("radio", name="HubSpot").check()
    plain.get_by_role("button", name="Save decision").click()
    expect(plain.get_by_text("Saved.")).to_be_visible()
    assert desk.row(one, "choices") == ({"phone": "theirs"},)
    plain.context.close()
