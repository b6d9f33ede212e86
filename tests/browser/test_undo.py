"""Undo of a run in a real Chromium: looked at, confirmed, done, with the real processes."""

import pytest
from playwright.sync_api import Page, expect

from app.db import db
from app.services import record_edits
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.browser.sites import Site, site  # noqa: F401  # a fixture
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.counterparts.kinto import contact
from tests.processes import wait_for

pytestmark = pytest.mark.browser


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
    expect(page.get_by_text("3 records would be deleted")).to_be_visible()
    expect(page.get_by_text("1 record would be brought back")).to_be_visible()
    expect(page.get_by_text("1 left alone")).to_be_visible()
    expect(page.get_by_role("link", name="Ada Byron 6")).to_be_visible()
    expect(page.get_by_text("Former values flow out like any other edit.")).to_be_visible()
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})

    page.get_by_role("button", name="Undo 10 records").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.get_by_role("button", name="Undo the run").click()
    expect(page.get_by_role("heading", name="This run was undone")).to_be_visible()
    expect(page.get_by_text("6 records put back")).to_be_visible()
    check_axe(page)
    wait_for(lambda: site.kinto.get("contacts", "contact-3")["city"] == "London", about="the former values there")
    assert site.kinto.get("contacts", "contact-6")["city"] in ("Bonn", "Oslo")
    assert site.ask("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 20
    page.goto(f"{site.url}/runs/{run_id}")
    expect(page.get_by_text("This run was undone.")).to_be_visible()
    expect(page.get_by_text("Ada Byron began it")).to_be_visible()
    assert page.get_by_role("button", name="Undo this run").count() == 0
    check_axe(page)
