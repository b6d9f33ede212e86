"""Events out in a real Chromium: made, tested, watched as it fails, sent again, in both themes and on a phone."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from app.services import accounts
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.events.conftest import Bus
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.browser
SHOTS = os.environ.get("PATCHBAY_SHOTS")


def look(page: Page, name: str) -> None:  # noqa: F811
    """No accessibility violation in either theme, nothing too wide for a phone; pictures where they are asked for."""
    check_axe(page)
    themes: tuple[Literal["light", "dark"], ...] = ("dark", "light")
    for theme in themes if SHOTS else ():
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(600)
        page.screenshot(path=f"{SHOTS}/{name}-{theme}.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}-390.png", full_page=True)
    page.set_viewport_size({"width": 1440, "height": 900})


@pytest.fixture
def bus(
    apps: dict[str, Flask], clean: None, owner: psycopg.Connection[Any], environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple[Bus, Processes]]:
    made, processes = Bus(apps, owner, environment), Processes(environment, tmp_path / "log")
    with apps["web"].app_context(), bind_tenant(made.tenant_id), transaction():
        user = accounts.make_user("ada@example.com", "Ada Byron", "a long password")
        accounts.add_member(made.tenant_id, user.id, "admin")
    processes.start("web", "dispatcher", "send-1")
    yield made, processes
    processes.stop()
    for receiver in made.receivers:
        receiver.stop()


def test_a_subscription_from_the_first_test_to_sending_again(bus: tuple[Bus, Processes], page: Page) -> None:  # noqa: F811
    made, processes = bus
    down: Any = (500, {}, b"the product is being deployed")
    receiver = made.receiver(lambda _: down if len(receiver.messages) == 1 else 204)
    page.goto(f"{processes.url}/sign-in")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/home")
    page.get_by_role("link", name="Events", exact=True).click()
    expect(page.get_by_text("Nobody is told of events yet")).to_be_visible()
    look(page, "events-empty")
    page.get_by_role("link", name="New subscription").click()
    page.get_by_role("button", name="Make the subscription").click()
    expect(page.get_by_text("Give it a name.")).to_be_visible()
    look(page, "events-new")
    page.get_by_label("Name", exact=True).fill("Billing")
    page.get_by_label("Address", exact=True).fill(receiver.url)
    page.locator('input[value="record.*"]').check()
    page.locator('input[value="problem.opened"]').check()
    page.get_by_role("button", name="Make the subscription").click()
    expect(page.get_by_label("The signing secret")).to_have_value(re.compile("whsec_.+"))
    look(page, "events-made")
    page.get_by_role("button", name="Send a test event").click()
    expect(page.get_by_text("the product is being deployed").first).to_be_visible(timeout=20_000)
    wait_for(lambda: made.ask("SELECT 1 FROM dispatches WHERE state = 'delivered'"), 20, about="the second attempt")
    page.reload()
    expect(page.get_by_text("Delivered").first).to_be_visible()
    look(page, "events-dispatch")
    receiver.answer = lambda _: 503
    made.write(12)
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="Billing").click()
    wait_for(lambda: made.ask("SELECT 1 FROM subscriptions WHERE breaker ->> 'state' = 'open'"), 20, about="the rest")
    page.reload()
    expect(page.get_by_text("Failing")).to_be_visible()
    expect(page.get_by_text("is left alone until")).to_be_visible()
    look(page, "events-failing")
    made.owner.execute(
        "UPDATE dispatches SET state = 'failed', error = 'Answered 503. All 10 attempts are used.' WHERE state = 'pending'"
    )
    page.reload()
    page.get_by_role("link", name="Send again").click()
    expect(page.get_by_text("12 events are sent again")).to_be_visible()
    look(page, "events-replay")
    receiver.answer = lambda _: 204
    made.owner.execute("UPDATE subscriptions SET breaker = NULL")
    page.get_by_role("button", name="Send 12 again").click()
    wait_for(lambda: len(made.ask("SELECT 1 FROM dispatches WHERE state = 'delivered'")) == 13, 20, about="the replay")
    page.reload()
    expect(page.get_by_text("Failing")).to_have_count(0)
    page.get_by_role("button", name="Make a new secret").click()
    page.get_by_role("button", name="Make the new secret").click()
    expect(page.get_by_text("two sign")).to_be_visible()
    page.get_by_role("button", name="Switch off").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("A person has switched this subscription off.")).to_be_visible()
    look(page, "events-off")
    page.get_by_role("link", name="Events", exact=True).first.click()
    expect(page.get_by_text("Switched off")).to_be_visible()
    look(page, "events-list")


def test_the_operator_sees_what_the_host_is_told(bus: tuple[Bus, Processes], page: Page) -> None:  # noqa: F811
    made, processes = bus
    receiver = made.receiver()
    with made.apps["owner"].app_context(), transaction():
        user = accounts.make_user("olga@example.com", "Olga", "a long password")
        accounts.add_staff_role(user.id, "operator")
    page.goto(f"{processes.url}/sign-in")
    page.get_by_label("E-mail").fill("olga@example.com")
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Host events").click()
    expect(page.get_by_text("What happens at any customer")).to_be_visible()
    look(page, "host-events-empty")
    made.subscribe(receiver.url, PLATFORM_TENANT, types=["record.*", "problem.*"])
    made.write(3)
    wait_for(lambda: len(receiver.messages) == 3, 20, about="the messages")
    page.get_by_role("link", name="Host events").click()
    page.get_by_role("link", name="Product").click()
    expect(page.get_by_text("Delivered").first).to_be_visible()
    look(page, "host-events-log")
