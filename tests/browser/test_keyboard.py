"""The wizard and the mapping editor with the keyboard alone: everything is reached by Tab, and where one is can be seen."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.test_main_job import page, site

__all__ = ["page", "site"]
pytestmark = pytest.mark.browser
_MOST = 120
# Whether the focus can be seen: an outline or a ring, and not covered by the bar at the foot.
_SEEN = """() => {
  const el = document.activeElement, box = el.getBoundingClientRect(), style = getComputedStyle(el);
  const shown = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
  const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const free = !at || el.contains(at) || at.contains(el) || (el.labels && [...el.labels].some(l => l.contains(at)));
  return {shown, free, what: el.outerHTML.slice(0, 120)};
}"""


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until the wanted element has the focus; each stop on the way can be seen."""
    expect(wanted).to_be_visible()
    for _ in range(_MOST):
        if wanted.evaluate("el => el === document.activeElement"):
            return
        page.keyboard.press("Tab")
        found = _look(page)
        assert found["shown"], f"the focus cannot be seen on {found['what']}"
        assert found["free"], f"the focus is covered on {found['what']}"
    raise AssertionError(f"not reached by Tab: {wanted}")


def _look(page: Page) -> dict[str, Any]:
    """Return how the focus looks once the page has come to rest."""
    for _ in range(10):
        found: dict[str, Any] = page.evaluate(_SEEN)
        if found["shown"] and found["free"]:
            break
        page.wait_for_timeout(50)
    return found


def press(page: Page, wanted: Locator, key: str = "Enter") -> None:
    """Go to an element by Tab and press a key."""
    tab_to(page, wanted)
    page.keyboard.press(key)


def fill(page: Page, label: str, text: str) -> None:
    """Go to a field by Tab and type."""
    tab_to(page, page.get_by_label(label))
    page.keyboard.type(text)


def _sign_up(page: Page, patchbay: str) -> None:
    page.goto(f"{patchbay}/sign-up")
    for label, text in (
        ("Company", "Aldgate Joinery"), ("Your name", "Maja Lindqvist"), ("E-mail", "maja@aldgate-joinery.com"),
        ("Password", "a long password"),
    ):  # fmt: skip
        fill(page, label, text)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("/sign-up"))


def _edit_the_mapping(page: Page) -> None:
    press(page, page.get_by_role("link", name="Contacts"))
    expect(page.locator("#mapping-preview .df")).to_be_visible()
    press(page, page.locator("#add-city"))
    press(page, page.locator("#map-city").get_by_role("button", name="change case"))
    tab_to(page, page.locator("#p-city").get_by_label("Write in"))
    page.keyboard.type("UPPER")
    press(page, page.locator("#p-city").get_by_role("button", name="Save", exact=True).last)
    expect(page.locator("#step-0-city")).to_have_text("City: upper case")
    # The focus stays in the row that was changed, so that the next thing is one key away.
    expect(page.locator("#more-city")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    press(page, page.locator("#more-city"))
    press(page, page.locator("#p-city").get_by_role("button", name="Do not map"))
    expect(page.locator("#map-city")).to_contain_text("Connect, suggested")


def test_from_sign_up_to_the_first_sync_without_a_mouse(site: tuple[str, str], page: Page) -> None:
    patchbay, _ = site
    page.emulate_media(reduced_motion="reduce")  # Else the page is still scrolling when it is looked at.
    _sign_up(page, patchbay)
    page.goto(f"{patchbay}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    press(page, page.get_by_role("link", name="Sandbox CRM"))
    press(page, page.get_by_role("button", name="Install Sandbox CRM"))
    press(page, page.get_by_role("button", name="Connect Sandbox CRM"))
    # At the vendor's own page.
    page.get_by_role("button", name="Allow").press("Enter")
    press(page, page.get_by_role("link", name="Go to step 2"))
    expect(page.get_by_role("heading", name="Configure", exact=True)).to_be_visible()
    press(page, page.get_by_role("radio", name="Into Fieldstone").first, "ArrowDown")
    expect(page.get_by_role("radio", name="Both ways").first).to_be_checked()
    page.keyboard.press("ArrowUp")
    press(page, page.get_by_role("button", name="Save and go to step 3"))
    _edit_the_mapping(page)
    press(page, page.get_by_role("button", name="Go to step 4"))
    expect(page.get_by_text("What would happen to each kind of data")).to_be_visible(timeout=60_000)
    press(page, page.get_by_role("button", name="Start syncing"))
    expect(page.locator("#live-run")).to_have_count(0, timeout=60_000)
    expect(page.get_by_text("Incomplete").first).to_be_visible()
