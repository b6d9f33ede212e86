"""The home page: what it shows on day one and with much to do, and to whom."""

import re
import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask

from app.services import destinations, integration_requests, problems
from app.services.accounts import get_user
from app.services.destinations import Wish
from app.tenancy import bind_tenant
from app.transaction import transaction
from tests.factories.conflicts import Desk
from tests.factories.people import People

Owner = psycopg.Connection[Any]


@pytest.fixture
def desk(apps: dict[str, Flask], clean: None, owner: Owner) -> Desk:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    made = Desk(apps, owner)
    owner.execute("UPDATE runs SET state = 'done', finished_at = now()")
    owner.execute("UPDATE installations SET last_success_at = now()")
    touch(desk=made)
    return made


def touch(desk: Desk) -> None:
    """Write the status of the installation anew."""
    problem(desk, "run_failed", "Touched")
    with desk.apps["worker"].app_context(), bind_tenant(desk.tenant_id), transaction():
        problems.close(desk.tenant_id, desk.installation_id, "run_failed", by="run")


def problem(desk: Desk, code: str, message: str, **options: Any) -> None:
    with desk.apps["worker"].app_context(), bind_tenant(desk.tenant_id), transaction():
        problems.open_problem(desk.tenant_id, desk.installation_id, code, message, "Do this.", **options)


def page(desk: Desk, role: str = "owner") -> str:
    found = desk.browser(role).get("/home")
    assert found.status_code == 200
    return found.text


def test_signing_in_leads_home(apps: dict[str, Flask], clean: None) -> None:
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    People(apps).sign_up("ada@example.com")
    client = apps["web"].test_client()
    found = client.post("/sign-in", data={"email": "ada@example.com", "password": "a long password"})
    assert found.location == "/home"
    text = client.get("/home").text
    assert "0 of 5 done" in text
    assert "Nothing is connected yet" in text
    assert "What needs you" not in text


def test_the_first_steps_are_marked_and_can_be_put_away(desk: Desk) -> None:
    browser = desk.browser()
    text = browser.get("/home").text
    # Connected, mapped and synced; two people sign in by now.
    assert "4 of 5 done" in text
    assert 'href="/profile#notifications">Choose' in text
    browser.post("/profile/notifications", data={"preference": "problems"})
    assert "First steps" not in browser.get("/home").text
    other = desk.browser()
    assert other.post("/home/steps/hide").location == "/home"
    assert "First steps" not in other.get("/home").text
    assert "First steps" in page(desk), "put away for one person only"


def test_a_member_is_offered_nothing_they_may_not_do(apps: dict[str, Flask], clean: None) -> None:
    people = People(apps)
    tenant_id, _ = people.sign_up("ada@example.com")
    people.join(tenant_id, "bob@example.com", "member")
    apps["web"].config["WTF_CSRF_ENABLED"] = False
    client = apps["web"].test_client()
    client.post("/sign-in", data={"email": "bob@example.com", "password": "a long password"})
    text = client.get("/home").text
    assert text.count("an admin does this") == 3
    assert "Add an integration" not in text
    assert "Recent activity" not in text


def test_nothing_needs_anybody(desk: Desk) -> None:
    assert "Nothing needs you." in page(desk)
    assert "nothing needs you" in page(desk)


def test_the_one_button_that_stands_out_is_that_of_what_comes_first(desk: Desk) -> None:
    def standing_out() -> list[str]:
        return re.findall(r'btn-primary\s*"[^>]*>(?:<svg.*?</svg>)?([^<]+)<', page(desk))

    assert standing_out() == ["Choose your e-mails"]
    problem(desk, "reconnect", "Kinto no longer accepts the connection", stops_sync=True)
    assert standing_out() == ["Reconnect Kinto"]


def test_a_home_with_drafts_alone_does_not_say_that_everything_runs(desk: Desk, owner: Owner) -> None:
    owner.execute("UPDATE installations SET state = 'setting_up', step = 'map'")
    touch(desk=desk)
    assert "Nothing is synced yet." in page(desk)
    assert "Continue the setup" in page(desk)


def test_what_needs_somebody_has_one_button_each(desk: Desk) -> None:
    problem(desk, "reconnect", "Kinto no longer accepts the connection", stops_sync=True)
    problem(
        desk,
        "records_refused",
        "3 contacts: phone number too long",
        signature="records:contacts:invalid:phone",
        count=3,
    )
    problem(desk, "records_refused", "9 contacts: no name", signature="records:contacts:invalid:name", count=9)
    desk.clash()
    with desk.apps["web"].test_request_context(), bind_tenant(desk.tenant_id), transaction():
        integration_requests.ask(desk.tenant_id, get_user(desk.by.id), "Kinto", connector="kinto")
    text = page(desk)
    assert text.index("no longer accepts") < text.index("12 records were refused") < text.index("1 conflict waits")
    assert "1 request for an integration" in text
    assert f'href="/installations/{desk.installation_id}/failed">See the records' in text
    assert f'href="/installations/{desk.installation_id}/setup/connect"' in text
    assert "phone number too long" not in text, "counted with the other records"
    theirs = page(desk, "member")
    assert "/setup/connect" not in theirs
    assert "1 request" not in theirs
    assert "1 conflict waits" in theirs


def test_only_the_gravest_are_listed_and_the_rest_is_counted(desk: Desk) -> None:
    for number in range(8):
        problem(desk, "c", f"Problem {number}", signature=f"c:{number}")
    text = page(desk)
    assert text.count("See why") + text.count("Try now") == 5
    assert "3 more problems" in text


def test_counts_lead_to_lists(desk: Desk) -> None:
    late = desk.install("Late one")
    problem(desk, "c", "m")
    desk.owner.execute(
        "UPDATE installation_status SET status = 'healthy', late_at = now() - interval '1 min' WHERE id = %s", (late,)
    )
    browser = desk.browser()
    text = browser.get("/home").text
    assert "Late, incomplete or failing" in text
    assert 'href="/installations?status=late"' in text
    assert 'href="/installations?status=paused"' not in text
    listed = browser.get("/installations?status=late").text
    assert f'href="/installations/{late}"' in listed
    assert f'href="/installations/{desk.installation_id}"' not in listed
    assert "None is paused now" in browser.get("/installations?status=paused").text
    assert browser.get("/installations?status=CANARY").text.count("CANARY") == 0


def test_nothing_of_another_tenant_is_shown(desk: Desk) -> None:
    other = Desk(desk.apps, desk.owner, "Brightwater")
    problem(other, "reconnect", "CANARY problem", stops_sync=True)
    desk.owner.execute("UPDATE installations SET name = 'CANARY' WHERE id = %s", (other.installation_id,))
    other.clash()
    text = page(desk)
    assert "CANARY" not in text
    assert "Nothing needs you." in text
    assert "CANARY problem" in page(other)
    assert str(uuid.UUID(str(other.installation_id))) not in text


def test_a_destination_that_does_not_answer_is_for_admins_to_see(desk: Desk) -> None:
    with desk.apps["web"].test_request_context(), bind_tenant(desk.tenant_id), transaction():
        wish = Wish("#ops", "problems", "https://hooks.example.com/x")
        destinations.create(desk.tenant_id, "slack", wish, user_id=desk.by.id)
    assert "does not answer" not in page(desk)
    desk.owner.execute("UPDATE destinations SET failing_since = now()")
    assert "1 destination of notifications does not answer" in page(desk)
    assert "does not answer" not in page(desk, "member")
    desk.owner.execute("UPDATE destinations SET state = 'disabled', disabled_code = 'person'")
    assert "does not answer" not in page(desk), "a person has switched it off"
    desk.owner.execute("UPDATE destinations SET disabled_code = 'gone', failing_since = NULL")
    assert "1 destination of notifications does not answer" in page(desk)
