"""The webhooks of an installation in a real Chromium: the log with its verdicts, one delivery, replaying, the secret."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import requests
from flask import Flask
from playwright.sync_api import Page, expect

from app.ids import new_id
from app.services import accounts, endpoints, oauth_clients, problems
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from tests.browser.test_main_job import check_axe, page  # noqa: F401  # a fixture
from tests.factories.endpoints import Hook, make_hook
from tests.factories.people import make_staff
from tests.processes import Processes

pytestmark = pytest.mark.browser


class Site:
    """An installation of the Sandbox CRM with an admin, Ada, and a web process; no worker, so that things stay."""

    def __init__(self, apps: dict[str, Flask], owner: psycopg.Connection[Any], url: str) -> None:
        self.apps, self.owner, self.url = apps, owner, url
        self.hook: Hook = make_hook(apps)
        with apps["web"].app_context(), bind_tenant(self.hook.tenant_id), transaction():
            user = accounts.make_user("ada@example.com", "Ada Byron", "a long password")
            accounts.add_member(self.hook.tenant_id, user.id, "admin")

    @property
    def home(self) -> str:
        return f"{self.url}/installations/{self.hook.installation_id}/webhooks"

    def send(self, number: int, *, forged: bool = False, **more: Any) -> int:
        body = orjson.dumps(self.hook.event(number, **more))
        headers = self.hook.sign(body, f"evt_{number}")
        if forged:
            headers["webhook-signature"] = "v1,AAAA"
        return requests.post(self.url + self.hook.path, data=body, headers=headers, timeout=10).status_code

    def act(self, what: Any) -> Any:
        with self.apps["web"].app_context(), bind_tenant(self.hook.tenant_id), transaction():
            return what()

    def act_as_worker(self, what: Any) -> Any:
        with self.apps["worker"].app_context(), bind_tenant(self.hook.tenant_id), transaction():
            return what(self.hook.installation_id)


@pytest.fixture
def site(
    environment: dict[str, str], clean: None, apps: dict[str, Flask], owner: psycopg.Connection[Any], tmp_path: Path
) -> Iterator[Site]:
    processes = Processes(environment, tmp_path / "log")
    processes.start("web")
    yield Site(apps, owner, processes.url)
    processes.stop()


def enter(page: Page, site: Site, email: str) -> None:  # noqa: F811
    """Sign somebody in."""
    page.goto(f"{site.url}/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("a long password")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def keep(page: Page, name: str) -> None:  # noqa: F811
    """Pictures to look at, when somebody asks for them."""
    if folder := os.environ.get("PATCHBAY_PICTURES"):
        for form, width, scheme in (("light", 1440, "light"), ("dark", 1440, "dark"), ("phone", 390, "light")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.screenshot(path=f"{folder}/{name}-{form}.png", full_page=True)
        page.set_viewport_size({"width": 1440, "height": 900})


def check(page: Page) -> None:  # noqa: F811
    """No accessibility violation in light and dark, and nothing that is too wide for a phone."""
    check_axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})


def test_the_log_a_delivery_a_replay_and_the_secret(site: Site, page: Page) -> None:  # noqa: F811
    enter(page, site, "ada@example.com")
    page.goto(site.home)
    expect(page.get_by_text("Nothing has come in yet")).to_be_visible()
    check(page)
    record = {"id": "con_1", "properties": {"firstname": "Ada", "email": "ada@example.com"}}
    assert site.send(1, record=record) == 200
    assert site.send(1, record=record) == 200
    assert site.send(2, forged=True) == 401
    assert site.send(3, account="globex") == 200
    assert site.send(4, object="tickets") == 200
    site.owner.execute("UPDATE hints SET state = 'failed', error = 'The other side refused it.', settled_at = now()")
    page.goto(site.home)
    row = page.get_by_role("table").get_by_role("row")
    expect(row).to_have_count(6)
    expect(page.get_by_role("table").get_by_text("Bad signature")).to_be_visible()
    expect(page.get_by_role("table").get_by_text("not about synced data")).to_be_visible()
    check(page)
    page.get_by_role("link", name="Unknown account").click()
    expect(row).to_have_count(2)
    page.get_by_role("table").get_by_role("link").click()
    expect(page.get_by_text("It is about the account globex")).to_be_visible()
    check(page)
    page.goto(f"{site.home}?verdict=accepted")
    page.get_by_role("table").get_by_role("link").last.click()
    expect(page.get_by_role("heading", name="What it said")).to_be_visible()
    expect(page.get_by_text("The other side refused it.")).to_be_visible()
    expect(page.get_by_role("region", name="Body")).to_contain_text("con_1")
    expect(page.get_by_text("[kept out]")).to_be_visible()
    check(page)
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("The records it names are looked at again.")).to_be_visible()
    expect(page.get_by_text("being looked at")).to_be_visible()
    page.goto(site.home)
    page.get_by_label("Failed: 1 delivery").check()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 delivery is replayed.")).to_be_visible()
    assert site.owner.execute("SELECT sum(replays) FROM deliveries").fetchone() == (2,)
    page.get_by_role("button", name="Exchange the secret").click()
    page.get_by_role("button", name="Exchange", exact=True).click()
    expect(page.get_by_text("The secret is exchanged.")).to_be_visible()
    assert site.owner.execute("SELECT rotate FROM endpoints").fetchone() == (True,)


def test_a_subscription_that_could_not_be_made_and_missed_changes(site: Site, page: Page) -> None:  # noqa: F811
    site.owner.execute(
        "UPDATE endpoints SET state = 'failed', error_code = 'x', error_message = 'Sandbox CRM refused it.', "
        "error_fix = 'Give the account the permission.', missed = 3, silent_since = now() - interval '2 h'"
    )
    assert site.act(lambda: endpoints.find(site.hook.tenant_id, site.hook.installation_id)).state == "failed"
    enter(page, site, "ada@example.com")
    page.goto(site.home)
    expect(page.get_by_text("3 changes were missed.")).to_be_visible()
    check(page)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("The subscription is being made.")).to_be_visible()


def test_what_came_in_for_nobody_and_what_needs_attention(site: Site, page: Page) -> None:  # noqa: F811
    with site.apps["web"].app_context(), bind_tenant(PLATFORM_TENANT), transaction():
        oauth_clients.save_client("hubspot", "client", "a secret")
    platform = str(PLATFORM_TENANT)
    for number, (verdict, note, body) in enumerate((
        ("unknown_account", "62515", b'[{"eventId": 1, "portalId": 62515, "objectId": 901}]'),
        ("bad_signature", "no_signature", None), ("unknown_account", "7", None),
    )):  # fmt: skip
        site.owner.execute(
            "INSERT INTO deliveries (tenant_id, id, endpoint_id, event_id, verdict, note, method, headers, body, size) "
            "SELECT tenant_id, %s, id, %s, %s, %s, 'POST', '{}', %s, 60 FROM endpoints WHERE tenant_id = %s",
            (new_id(), str(number), verdict, note, body, platform),
        )
    for tenant in (platform, str(site.hook.tenant_id)):
        site.owner.execute(
            "INSERT INTO subscriptions (tenant_id, id, name, url, state, disabled_code, disabled_at) VALUES "
            "(%s, gen_random_uuid(), 'Billing', 'https://billing.example.com/in', 'disabled', 'failing', now())",
            (tenant,),
        )
    make_staff(site.apps, "operator", email="olga@example.com")
    enter(page, site, "olga@example.com")
    page.goto(f"{site.url}/applications/hubspot/deliveries")
    expect(page.get_by_role("table").get_by_role("row")).to_have_count(4)
    page.get_by_text("Show the body").click()
    expect(page.get_by_text('"portalId": 62515')).to_be_visible()
    keep(page, "for-nobody")
    check(page)
    page.goto(f"{site.url}/host/subscriptions")
    expect(page.get_by_role("heading", name="Needs attention")).to_be_visible()
    check(page)
    page.get_by_role("button", name="Sign out").click()
    enter(page, site, "ada@example.com")
    page.goto(f"{site.url}/subscriptions")
    expect(page.get_by_text("Events are no longer sent to Billing")).to_be_visible()
    expect(page.get_by_role("link", name="Events 1")).to_be_visible()
    keep(page, "needs-attention")
    check(page)
    site.owner.execute(
        "UPDATE endpoints SET expires_at = now() + interval '30 d', renew_at = now() + interval '20 d', missed = 3, "
        "registered_at = now(), silent_since = now() - interval '2 h' WHERE installation_id IS NOT NULL"
    )
    site.act_as_worker(
        lambda installation: problems.open_problem(
            site.hook.tenant_id, installation, "webhooks_silent", "Sandbox CRM sent no webhooks for 3 changes",
            "Nothing for now: a run has read what was missed.", count=3,
        )
    )  # fmt: skip
    page.goto(f"{site.url}/problems")
    keep(page, "problems")
    check(page)
    page.get_by_role("link", name="Sandbox CRM sent no webhooks for 3 changes").click()
    expect(page.get_by_role("link", name="Show the webhooks")).to_be_visible()
    keep(page, "problem")
    check(page)
    page.get_by_role("link", name="Show the webhooks").click()
    expect(page.get_by_text("in 20 days")).to_be_visible()
    keep(page, "webhooks")
    check(page)
