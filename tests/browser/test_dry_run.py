"""A dry run in the last step of the wizard, in a real Chromium against a real Kinto; and a run that breaks its promise."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from app.db import db
from app.models.installations import InstallationStream
from app.services import record_edits
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.browser.test_main_job import check_axe, page
from tests.counterparts.kinto import PASSWORD, Kinto, company, contact
from tests.factories.tenants import connect_kinto, seed_catalog
from tests.processes import Processes, wait_for

__all__ = ["page"]
pytestmark = pytest.mark.browser
SHOTS = os.environ.get("PATCHBAY_SHOTS")


@pytest.fixture
def kinto(tmp_path: Path) -> Iterator[Kinto]:
    server = Kinto(tmp_path).start()
    bad = [contact(500 + n, email=f"not an address {n}") for n in range(3)]
    server.put_all("contacts", [contact(n, city="Oslo" if n % 5 == 0 else "London") for n in range(250)] + bad)
    server.put_all("companies", [company(n) for n in range(30)])
    yield server
    server.stop()


@pytest.fixture
def processes(environment: dict[str, str], clean: None, apps: dict[str, Flask], tmp_path: Path) -> Iterator[Processes]:
    seed_catalog(apps)
    found = Processes(environment, tmp_path / "log")
    found.start("web", "dispatcher", "fast-1", "sync-1")
    yield found
    found.stop()


def shoot(page: Page, name: str) -> None:
    """Keep pictures of a page where PATCHBAY_SHOTS names a folder: light, dark, and 390 px wide."""
    if not SHOTS:
        return
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(200)
        page.screenshot(path=f"{SHOTS}/{name}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(200)
    page.screenshot(path=f"{SHOTS}/{name}-390.png", full_page=True)
    page.set_viewport_size({"width": 1440, "height": 900})


def arrange(
    processes: Processes, apps: dict[str, Flask], owner: psycopg.Connection[Any], kinto: Kinto, page: Page
) -> str:
    """Sign up, connect Kinto with contacts both ways, give the host contacts of its own; return the draft's address."""
    page.goto(f"{processes.url}/sign-up")
    page.get_by_label("Company").fill("Aldgate Joinery")
    page.get_by_label("Your name").fill("Maja Lindqvist")
    page.get_by_label("E-mail").fill("maja@aldgate-joinery.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url(f"{processes.url}/home")
    (tenant_id,) = owner.execute("SELECT tenant_id FROM memberships").fetchone() or (None,)
    assert tenant_id is not None
    with apps["web"].app_context():
        installation_id = connect_kinto(tenant_id, kinto.origin, PASSWORD)
    wait_for(
        lambda: owner.execute("SELECT state FROM connections").fetchone() == ("ready",), about="the connection test"
    )
    with apps["web"].app_context(), bind_tenant(tenant_id), transaction():
        for stream in db.session.scalars(db.select(InstallationStream)):
            if stream.stream == "contacts":
                stream.direction, stream.conflict_policy = "both", "ask"
        for n in range(40):
            record_edits.create(
                tenant_id, "contact", {"email": f"person{n}@example.test", "city": "London"}, writer="Host"
            )
        for n in range(5):
            record_edits.create(
                tenant_id, "contact", {"email": f"only{n}@example.test", "full_name": f"Only Here {n}"}, writer="Host"
            )
        record_edits.create(
            tenant_id, "contact", {"email": "person7@example.test", "full_name": "Twice Here"}, writer="Host"
        )
    return f"{processes.url}/installations/{installation_id}"


def test_the_wizard_shows_what_would_happen_and_the_first_run_does_it(
    processes: Processes, apps: dict[str, Flask], owner: psycopg.Connection[Any], kinto: Kinto, page: Page
) -> None:
    here = arrange(processes, apps, owner, kinto, page)
    processes.kill("sync-1")
    page.goto(f"{here}/setup/activate")
    expect(page.get_by_text("Dry run in progress")).to_be_visible()
    shoot(page, "waiting")
    check_axe(page)
    page.get_by_role("button", name="Stop the dry run").click()
    expect(page.get_by_text("The dry run was stopped.")).to_be_visible()
    shoot(page, "stopped")
    page.get_by_role("button", name="Run it again").click()
    processes.start("sync-1")
    expect(page.get_by_text("What would happen to each kind of data")).to_be_visible(timeout=40_000)
    expect(page.get_by_text("Start syncing does exactly what is shown here.")).to_be_visible()
    row = page.locator("tr", has_text="into Fieldstone").filter(has_text="Contacts")
    assert row.locator("td").all_inner_texts()[1:] == ["253", "210", "39", "39", "0", "9", "3", "0"]
    expect(page.get_by_text("3 contacts: E-mail")).to_be_visible()
    shoot(page, "ready")
    check_axe(page)
    page.get_by_role("group", name="Sample kind").get_by_role("link", name="Created").click()
    expect(page.get_by_role("link", name="Created")).to_have_attribute("aria-current", "true")
    page.locator("summary", has_text="When the run would stop and ask").click()
    shoot(page, "ranges")
    page.get_by_role("button", name="Start syncing").click()
    expect(page.locator("#live-run")).to_have_count(0, timeout=40_000)
    made = owner.execute("SELECT created, linked, conflicts FROM run_streams WHERE stream = 'contacts'").fetchone()
    assert made == (210, 39, 9)
    page.get_by_role("link", name="Dry run").click()
    shoot(page, "tab")
    check_axe(page)


def test_a_run_that_leaves_the_predicted_range_stops_and_asks(
    processes: Processes, apps: dict[str, Flask], owner: psycopg.Connection[Any], kinto: Kinto, page: Page
) -> None:
    here = arrange(processes, apps, owner, kinto, page)
    page.goto(f"{here}/setup/activate")
    expect(page.get_by_text("What would happen to each kind of data")).to_be_visible(timeout=40_000)
    kinto.put_all("contacts", [contact(n) for n in range(1000, 1400)])
    page.get_by_role("button", name="Start syncing").click()
    wait_for(lambda: owner.execute("SELECT state FROM runs").fetchone() == ("asking",), 40, about="the question")
    written = owner.execute("SELECT count(*) FROM links").fetchone()
    assert written is not None
    assert written[0] <= 290
    page.goto(f"{processes.url}/problems")
    page.get_by_role("link", name="This run would create").first.click()
    expect(page.get_by_text("the dry run predicted 189 to 231")).to_have_count(2)
    page.get_by_role("link", name="Decide about the run").click()
    expect(page.get_by_text("This run does more than the dry run predicted")).to_be_visible()
    expect(page.get_by_text("189 to 231")).to_be_visible()
    shoot(page, "question")
    check_axe(page)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".st", has_text="Done")).to_be_visible(timeout=40_000)
    assert owner.execute("SELECT created, linked FROM run_streams WHERE stream = 'contacts'").fetchone() == (610, 39)
    assert owner.execute("SELECT count(*) FROM problems WHERE state = 'open' AND code = 'promise_ask'").fetchone() == (
        0,
    )
