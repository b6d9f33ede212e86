"""Whole journeys in a real Chromium: an access breaks and is repaired, a sync is paused and ends, a member asks."""

import pytest
from playwright.sync_api import Page, expect

from app.services import accounts
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.browser.sites import Site, site  # noqa: F401  # a fixture
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.counterparts.kinto import contact
from tests.processes import wait_for

pytestmark = pytest.mark.browser


def test_a_broken_access_is_connected_again_and_what_was_missed_comes(site: Site, page: Page) -> None:  # noqa: F811
    site.sign_in(page)
    site.kinto.put_all("contacts", [contact(30)])
    site.kinto.set_password("another password")
    page.goto(f"{site.url}/installations/{site.installation_id}")
    page.get_by_role("button", name="Run now").click()
    wait_for(lambda: site.ask("SELECT blocked_code FROM installations") == "reconnect", about="the refused run")
    page.goto(f"{site.url}/home")
    page.get_by_role("link", name="Reconnect Kinto").click()
    check_axe(page)
    page.get_by_label("Password").fill("wrong again")
    page.get_by_role("button", name="Test again").click()
    expect(page.get_by_text("Kinto does not accept this account and password.").first).to_be_visible()
    page.get_by_label("Password").fill("another password")
    page.get_by_role("button", name="Test again").click()
    expect(page.get_by_text("The connection works").first).to_be_visible()
    check_axe(page)
    wait_for(lambda: site.ask("SELECT blocked_code FROM installations") is None, about="the repair")
    wait_for(lambda: site.ask("SELECT count(*) FROM records") == 21, about="what was missed")
    page.goto(f"{site.url}/installations/{site.installation_id}")
    expect(page.get_by_text("Healthy", exact=True).first).to_be_visible()


def test_a_sync_is_paused_resumed_and_removed_with_what_it_brought(site: Site, page: Page) -> None:  # noqa: F811
    site.sign_in(page)
    home = f"{site.url}/installations/{site.installation_id}"
    page.goto(home)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True).first).to_be_visible()
    check_axe(page)
    site.kinto.put_all("contacts", [contact(30)])
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    wait_for(lambda: site.ask("SELECT count(*) FROM records") == 21, about="what came while it was paused")
    site.wait_for_run()
    page.goto(f"{home}/remove")
    check_axe(page)
    page.get_by_label("Delete the").check()
    page.get_by_role("button", name="Remove Kinto").click()
    expect(page.locator("#name-e")).to_be_visible()
    assert site.ask("SELECT state FROM installations") == "active", "the name was not typed"
    page.get_by_label("To delete records, type").fill("Kinto")
    page.get_by_role("button", name="Remove Kinto").click()
    expect(page.get_by_text("Removed", exact=True).first).to_be_visible()
    wait_for(lambda: site.ask("SELECT count(*) FROM records WHERE deleted_at IS NULL") == 0, about="the records")
    assert len(site.kinto.all("contacts")) == 21, "nothing is deleted in Kinto"


def test_a_member_asks_and_an_admin_approves(site: Site, page: Page) -> None:  # noqa: F811
    with site.apps["web"].app_context(), bind_tenant(site.tenant_id), transaction():
        tom = accounts.make_user("tom@example.com", "Tom", "a long password")
        accounts.add_member(site.tenant_id, tom.id, "member")
    page.goto(f"{site.url}/sign-in?next=/integrations/sandbox")
    page.get_by_label("E-mail").fill("tom@example.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Install Sandbox CRM")).to_have_count(0)
    page.get_by_role("link", name="Ask for Sandbox CRM").click()
    check_axe(page)
    page.get_by_label("What for").fill("Our contacts are there.")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_text("Open", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Approve and set up")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    site.sign_in(page)
    page.get_by_role("link", name="Requests").click()
    expect(page.get_by_text("Our contacts are there.")).to_be_visible()
    check_axe(page)
    page.get_by_role("button", name="Approve and set up").click()
    expect(page.get_by_text("Set up Sandbox CRM").first).to_be_visible()
    said = "SELECT count(*) FROM mails WHERE recipient = 'tom@example.com'"
    wait_for(lambda: site.ask(said) == 1, about="the mail to who asked")
