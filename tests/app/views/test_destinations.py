"""The pages of notifications: what each role sees, the secret once, the address never."""

import re
from typing import Any

import psycopg
import pytest
from flask import Flask

from tests.factories.conflicts import Desk

Owner = psycopg.Connection[Any]
HOOK = "https://hooks.slack.com/services/T0/B0/CANARY"


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Desk:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    return Desk(apps, owner)


def form(**values: str) -> dict[str, str]:
    return {"kind": "slack", "name": "#integrations", "url": HOOK, "preference": "problems", **values}


def test_an_admin_adds_one_and_its_address_is_never_shown(desk: Desk) -> None:
    browser = desk.browser("admin")
    assert "People are told by e-mail only" in browser.get("/notifications").text
    made = browser.post("/notifications/new", data=form()).text
    assert "#integrations" in made
    assert "CANARY" not in made
    (address,) = set(re.findall(r"/notifications/[0-9a-f-]{36}(?=/test)", made))
    for path in (address, f"{address}/edit", "/notifications", "/audit"):
        found = browser.get(path)
        assert found.status_code == 200
        assert "CANARY" not in found.text, path
    assert browser.post(f"{address}/edit", data=form(name="#ops", url="")).location == address
    assert "#ops" in browser.get("/notifications").text


def test_a_webhooks_secret_is_shown_once(desk: Desk) -> None:
    browser = desk.browser("admin")
    made = browser.post("/notifications/new", data=form(kind="webhook")).text
    assert "whsec_" in made
    (address,) = set(re.findall(r"/notifications/[0-9a-f-]{36}(?=/test)", made))
    assert "whsec_" not in browser.get(address).text
    again = browser.post(f"{address}/rotate").text
    assert "The old one signs as well until" in again
    assert len(set(re.findall(r"whsec_[\w+/=]+", made + again))) == 2
    assert "two sign" in browser.get(address).text
    assert "whsec_" not in browser.get(address).text


def test_slack_has_no_secret_to_exchange(desk: Desk) -> None:
    browser = desk.browser("admin")
    made = browser.post("/notifications/new", data=form()).text
    (address,) = set(re.findall(r"/notifications/[0-9a-f-]{36}(?=/test)", made))
    assert "Make a new secret" not in made
    found = browser.post(f"{address}/rotate")
    assert (found.status_code, "not signed" in found.text) == (409, True)


def test_what_does_not_fit_is_said_at_the_field_and_kept(desk: Desk) -> None:
    found = desk.browser("admin").post("/notifications/new", data=form(url="http://a.test/x y", name="#ops"))
    assert found.status_code == 422
    assert "holds no user name, password, space" in found.text or "Give the address as" in found.text
    assert 'value="#ops"' in found.text


def test_a_test_waits_for_its_answer_on_the_page(desk: Desk) -> None:
    browser = desk.browser("admin")
    made = browser.post("/notifications/new", data=form()).text
    (address,) = set(re.findall(r"/notifications/[0-9a-f-]{36}(?=/test)", made))
    browser.post(f"{address}/test")
    assert 'hx-trigger="every 1s"' in browser.get(address).text
    desk.owner.execute("UPDATE notices SET state = 'failed', error = 'Answered 404.', tries = 1")
    part = browser.get(address, headers={"HX-Request": "true"})
    assert part.status_code == 286
    assert "Answered 404." in part.text
    browser.post(f"{address}/disable")
    assert browser.post(f"{address}/test").status_code == 409
    browser.post(f"{address}/enable")
    assert browser.post(f"{address}/remove").location == "/notifications"
    assert browser.get(address).status_code == 404


def test_a_member_sees_where_messages_go_and_chooses_for_themselves(desk: Desk) -> None:
    made = desk.browser("admin").post("/notifications/new", data=form()).text
    (address,) = set(re.findall(r"/notifications/[0-9a-f-]{36}(?=/test)", made))
    browser = desk.browser("member")
    text = browser.get("/notifications").text
    assert "#integrations" in text
    assert address not in text
    assert "Told by e-mail" not in text
    assert browser.get(address).status_code == 403
    sent = browser.post("/profile/notifications", data={"preference": "action", "from": "notifications"})
    assert sent.location == "/notifications"
    assert 'selected value="action"' in browser.get("/notifications").text
