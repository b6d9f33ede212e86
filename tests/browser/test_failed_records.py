"""Failed records in a real Chromium: by cause, one put right by its value, one in doubt linked."""

import uuid

import pytest
from playwright.sync_api import Page, expect

from app.services import record_edits
from tests.browser.sites import Site, site  # noqa: F401  # a fixture
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.counterparts.kinto import contact
from tests.processes import wait_for

pytestmark = pytest.mark.browser


def doubt(site: Site) -> None:  # noqa: F811
    """A contact that only we have, whose creation was sent and never answered."""
    record_id = site.act(
        record_edits.create, "contact", {"email": "new@example.test", "full_name": "Eve Moss"}, writer="Host"
    ).id
    wait_for(lambda: site.ask(f"SELECT state FROM intents WHERE record_id = '{record_id}'") == "confirmed", about="it")
    link = site.ask(f"DELETE FROM links WHERE record_id = '{record_id}' RETURNING external_id")
    site.owner.execute(
        "UPDATE intents SET state = 'parked', error_code = 'in_doubt' WHERE record_id = %s", (record_id,)
    )
    site.owner.execute(
        "INSERT INTO failed_records (tenant_id, id, installation_id, stream, external_id, direction, record_id, state, "
        "code, title, message) VALUES (%s, %s, %s, 'contacts', %s, 'out', %s, 'parked', 'in_doubt', 'Eve Moss', "
        "'No answer came when this record was sent to be created. It may have been created, or not.')",
        (site.tenant_id, uuid.uuid4(), site.installation_id, f"record:{record_id}", record_id),
    )
    site.link = str(link)  # type: ignore[attr-defined]


def test_failed_records_are_put_right(site: Site, page: Page) -> None:  # noqa: F811
    site.kinto.put_all("contacts", [contact(n, email=f"bad address {n}") for n in range(30, 33)])
    site.kinto.put_all("contacts", [contact(40, score="many")])
    site.run()
    doubt(site)
    site.sign_in(page)
    page.goto(f"{site.url}/installations/{site.installation_id}/failed")
    expect(page.get_by_role("heading", name="3 records of contacts, E-mail")).to_be_visible()
    expect(page.get_by_role("heading", name="1 record of contacts, Score")).to_be_visible()
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator(".prob", has_text="3 records of contacts, E-mail").get_by_role(
        "link", name="Correct the values"
    ).click()
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_role("link", name="Ada Byron 31", exact=True).click()
    expect(page.get_by_text("is not an e-mail address")).to_be_visible()
    page.get_by_role("button", name="Show it").click()
    expect(page.locator("#payload").get_by_text("bad address 31")).to_be_visible()
    expect(page.get_by_text("1990-05-17")).to_have_count(0)
    page.get_by_label("E-mail").fill("still bad")
    page.get_by_role("button", name="Use this value and retry").click()
    expect(page.get_by_text("E-mail: the value is not an e-mail address.")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_have_value("still bad")
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_label("E-mail").fill("ada31@example.test")
    page.get_by_role("button", name="Use this value and retry").click()
    expect(page.get_by_text("In sync")).to_be_visible()
    check_axe(page)
    wait_for(lambda: site.kinto.get("contacts", "contact-31")["email"] == "ada31@example.test", about="the value there")

    page.goto(f"{site.url}/installations/{site.installation_id}/failed")
    page.get_by_role("link", name="Eve Moss", exact=True).click()
    expect(page.get_by_text("Look in Kinto whether")).to_be_visible()
    check_axe(page)
    page.get_by_label("It is in Kinto, with the id").fill("nowhere")
    page.get_by_role("button", name="Link it").click()
    expect(page.get_by_text("Kinto has no record with the id “nowhere”")).to_be_visible()
    page.get_by_label("It is in Kinto, with the id").fill(site.link)  # type: ignore[attr-defined]
    page.get_by_role("button", name="Link it").click()
    expect(page.get_by_text("In sync")).to_be_visible()
    assert site.ask("SELECT count(*) FROM links WHERE deleted_at IS NULL") == 22
