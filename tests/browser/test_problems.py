"""Problems in a real Chromium: a lost access is tried in vain, put right, tried again and closes by itself."""

import pytest
from playwright.sync_api import Page, expect

from app.services import record_edits, runs
from tests.browser.sites import Site, site  # noqa: F401  # a fixture
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.counterparts.kinto import PASSWORD, contact
from tests.processes import wait_for

pytestmark = pytest.mark.browser


def check_page(page: Page) -> None:  # noqa: F811
    """No accessibility violation, and nothing that is too wide for a phone."""
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})


def test_a_problem_closes_when_a_real_call_works(site: Site, page: Page) -> None:  # noqa: F811
    site.kinto.put_all("contacts", [contact(n, email=f"bad address {n}") for n in range(30, 33)])
    site.run()
    site.kinto.set_password("another password")
    site.act(runs.start_run, site.installation_id, trigger="manual")
    wait_for(lambda: site.ask("SELECT blocked_code FROM installations") == "reconnect", about="the refused run")
    for row in site.owner.execute("SELECT id FROM records ORDER BY id LIMIT 6").fetchall():
        site.act(record_edits.update, row[0], {"city": "Oslo"}, writer="Host")
    site.sign_in(page)
    page.goto(f"{site.url}/problems")
    expect(page.get_by_role("link", name="Kinto does not accept this account and password.")).to_be_visible()
    check_page(page)
    page.goto(f"{site.url}/installations/{site.installation_id}")
    expect(page.get_by_role("heading", name="Waiting to be written to Kinto")).to_be_visible()
    check_page(page)
    page.get_by_role("link", name="Kinto does not accept this account and password.").click()
    expect(page.get_by_text("6 changes wait and are sent after the repair")).to_be_visible()
    expect(page.get_by_role("link", name="Reconnect Kinto")).to_be_visible()
    check_page(page)
    page.get_by_role("button", name="Try now").click()
    wait_for(lambda: site.ask("SELECT state FROM connections") == "reconnect", about="the test that fails")
    expect(page.get_by_text("The connection is tested.")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("Action needed")).to_be_visible()
    site.kinto.reset_password("another password", PASSWORD)
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_text("Solved", exact=True).first).to_be_visible()
    expect(page.get_by_text("A test of the connection succeeded.").first).to_be_visible()
    check_page(page)
    wait_for(
        lambda: site.ask("SELECT count(*) FROM intents WHERE state = 'confirmed'") == 6, about="the waiting writes"
    )
    page.goto(f"{site.url}/problems?show=solved")
    expect(page.get_by_text("A test of the connection succeeded.")).to_be_visible()
    check_page(page)
    page.goto(f"{site.url}/problems")
    page.get_by_role("link", name="3 records of contacts:").click()
    expect(page.get_by_role("link", name="Correct the values")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(4)
    check_page(page)
