"""The home page in a real Chromium: where signing in leads, the first steps, one button for what needs somebody."""

import re
import uuid

import pytest
from playwright.sync_api import Page, expect

from app.services import problems
from tests.browser.sites import Site, site  # noqa: F401  # a fixture
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture

pytestmark = pytest.mark.browser


def test_home_says_what_needs_somebody(site: Site, page: Page) -> None:  # noqa: F811
    site.sign_in(page)
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()
    expect(page.get_by_text("3 of 5 done")).to_be_visible()
    expect(page.locator("#needs").get_by_text("Nothing needs you.")).to_be_visible()
    expect(page.get_by_role("heading", name="Records changed")).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.get_by_role("row", name="Today 20 0 0")).to_be_visible()
    check_axe(page)
    page.get_by_role("button", name="Hide the steps").click()
    expect(page.get_by_text("First steps")).to_have_count(0)

    site.act(
        problems.open_problem, site.installation_id, "reconnect", "Kinto no longer accepts the connection", "Connect again.",
        stops_sync=True, signature=str(uuid.uuid4()),
    )  # fmt: skip
    page.reload()
    needs = page.locator("#needs")
    expect(needs.get_by_role("link", name="Kinto no longer accepts")).to_be_visible()
    expect(needs.get_by_role("link", name="Reconnect Kinto")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    check_axe(page)
    page.get_by_role("link", name=re.compile("^Healthy")).click()
    expect(page.get_by_role("rowheader", name="Kinto")).to_be_visible()
