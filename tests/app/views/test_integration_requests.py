"""Members ask for integrations; admins approve or decline; staff read what is missing."""

import uuid
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services import accounts
from app.tenancy import PLATFORM_TENANT
from tests.factories.people import People
from tests.factories.tenants import seed_catalog

Owner = psycopg.Connection[Any]


class Office:
    """Two tenants with an owner and a member each, signed in."""

    def __init__(self, apps: dict[str, Flask], owner: Owner) -> None:
        self.apps, self.owner, self.people = apps, owner, People(apps)
        self.tenant_id, self.boss_id = self.people.sign_up("boss@aldgate.example")
        self.people.join(self.tenant_id, "bob@aldgate.example", "member")
        self.people.sign_up("other@else.example", tenant="Else")
        self.boss, self.bob, self.other = (
            self.client(name) for name in ("boss@aldgate.example", "bob@aldgate.example", "other@else.example")
        )

    def client(self, email: str) -> FlaskClient:
        made = self.apps["web"].test_client()
        assert made.post("/sign-in", data={"email": email, "password": "a long password"}).status_code == 303
        return made

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.owner.execute(query).fetchall()

    def the_request(self) -> uuid.UUID:
        ((found,),) = self.rows("SELECT id FROM integration_requests")
        return uuid.UUID(str(found))


@pytest.fixture
def office(apps: dict[str, Flask], clean: None, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setitem(apps["web"].config, "WTF_CSRF_ENABLED", False)
    seed_catalog(apps)
    return Office(apps, owner)


def test_a_member_asks_and_an_admin_approves(office: Office) -> None:
    page = office.bob.get("/integrations/stripe").text
    assert "Ask for Stripe" in page
    assert "Install Stripe" not in page
    sent = {"name": "Anything", "reason": "Invoices in our todo list"}
    assert office.bob.post("/requests/new?connector=stripe", data=sent).status_code == 303
    assert office.rows("SELECT connector, name, reason, state FROM integration_requests") == [
        ("stripe", "Stripe", "Invoices in our todo list", "open")
    ]
    # Asked twice it is one request, and one mail to each admin.
    office.bob.post("/requests/new?connector=stripe", data=sent)
    assert office.rows("SELECT recipient FROM mails WHERE template = 'request'") == [("boss@aldgate.example",)]
    assert "Invoices in our todo list" in office.boss.get("/requests").text
    assert ">1<" in office.boss.get("/requests").text.split('href="/requests"')[1][:400]
    answer = office.boss.post(f"/requests/{office.the_request()}/approve")
    ((made,),) = office.rows("SELECT id FROM installations")
    assert answer.location.endswith(f"/installations/{made}/setup/connect")
    assert office.rows("SELECT state, decided_by FROM integration_requests") == [("approved", "Ada")]
    assert office.rows("SELECT recipient FROM mails WHERE template = 'request_decided'") == [("bob@aldgate.example",)]
    # Sent twice it makes one installation.
    assert office.boss.post(f"/requests/{office.the_request()}/approve").status_code == 409
    assert len(office.rows("SELECT id FROM installations")) == 1


def test_an_admin_declines_and_says_why(office: Office) -> None:
    office.bob.post("/requests/new?connector=github", data={"name": "GitHub", "reason": ""})
    office.boss.post(f"/requests/{office.the_request()}/decline", data={"note": "Next quarter."})
    assert "Next quarter." in office.bob.get("/requests").text
    assert office.rows("SELECT count(*) FROM installations") == [(0,)]
    # After the decision it may be asked for again.
    office.bob.post("/requests/new?connector=github", data={"name": "GitHub", "reason": "Now it is."})
    assert [row[0] for row in office.rows("SELECT state FROM integration_requests ORDER BY id")] == ["declined", "open"]


def test_a_request_is_its_tenants_and_its_askers(office: Office) -> None:
    office.bob.post("/requests/new?connector=stripe", data={"name": "Stripe", "reason": "secret plan"})
    wanted = office.the_request()
    for act in ("approve", "decline", "withdraw"):
        assert office.other.post(f"/requests/{wanted}/{act}").status_code == 404
    assert "secret plan" not in office.other.get("/requests").text
    for act in ("approve", "decline"):
        assert office.bob.post(f"/requests/{wanted}/{act}").status_code == 403
    assert office.boss.post(f"/requests/{wanted}/withdraw").status_code == 404  # Not the boss's own.
    assert office.bob.post(f"/requests/{wanted}/withdraw").status_code == 303
    assert office.rows("SELECT state FROM integration_requests") == [("withdrawn",)]


def test_what_is_missing_is_counted_for_staff(office: Office) -> None:
    office.bob.post("/requests/new", data={"name": "Zendesk", "reason": "Tickets"})
    office.boss.post("/requests/new", data={"name": "zendesk", "reason": ""})
    office.other.post("/requests/new", data={"name": "ZenDesk", "reason": ""})
    refused = office.bob.post("/requests/new", data={"name": "", "reason": "x" * 501})
    assert (refused.status_code, "Name the product." in refused.text, "500 characters" in refused.text) == (
        422,
        True,
        True,
    )
    assert (
        office.boss.post(
            f"/requests/{office.rows('SELECT min(id::text) FROM integration_requests')[0][0]}/approve"
        ).status_code
        == 409
    )
    assert office.boss.get("/requests/missing").status_code == 404
    office.people.act(PLATFORM_TENANT, office.boss_id, lambda: accounts.add_staff_role(office.boss_id, "operator"))
    page = office.boss.get("/requests/missing").text
    assert page.lower().count("zendesk") == 1
    assert "Tickets" in page
    assert 'data-label="Customers">2</td><td class="num" data-label="People">3</td>' in page
