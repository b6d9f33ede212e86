"""The pages of subscriptions, as an admin and as an operator."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.db import db
from app.models.accounts import StaffRole
from app.services import accounts, sessions
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from app.web import cookie_name
from tests.events.conftest import Bus
from tests.factories.people import sign_in
from tests.factories.tenants import connect_kinto


@pytest.fixture
def admin(bus: Bus) -> FlaskClient:
    return sign_in(bus.apps, bus.tenant_id)


@pytest.fixture
def operator(bus: Bus) -> FlaskClient:
    owner, settings = bus.apps["owner"], bus.apps["web"].extensions["settings"]
    with owner.app_context(), transaction():
        user = accounts.make_user(f"{uuid.uuid4().hex}@example.com", "Olga", "a long password")
        db.session.add(StaffRole(user_id=user.id, role="operator"))
    with owner.app_context(), bind_tenant(None, user.id), transaction():
        cookie = sessions.start_session(user.id, None, settings, ip="", user_agent="")
    client = bus.apps["web"].test_client()
    client.set_cookie(cookie_name(settings), cookie)
    return client


def post(client: FlaskClient, address: str, page: str, **data: Any) -> Any:
    """Send a form with the token of a page."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', client.get(page).text)
    assert token
    return client.post(address, data={"csrf_token": token[1], **data}, headers={"Origin": "http://localhost"})


def test_from_nothing_to_a_delivered_test(bus: Bus, admin: FlaskClient) -> None:
    receiver = bus.receiver()
    assert "Nobody is told of events yet" in admin.get("/subscriptions").text
    wrong = post(admin, "/subscriptions/new", "/subscriptions/new", name="Billing", url="ftp://x", types="record.*")
    assert wrong.status_code == 422
    assert "Give the address as https://" in wrong.text
    assert re.search(r'value="record\.\*" checked', wrong.text), "what was chosen stays"
    made = post(
        admin, "/subscriptions/new", "/subscriptions/new", name="Billing", url=receiver.url, types=["record.*"],
        object_types=["contact"], fields="city, name",
    )  # fmt: skip
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", made.text)
    assert secret
    subscription_id = bus.one("SELECT id FROM subscriptions")
    assert bus.one("SELECT types, object_types, fields FROM subscriptions") == (
        ["record.*"], ["contact"], ["city", "name"],
    )  # fmt: skip
    base = f"/subscriptions/{subscription_id}"
    assert "whsec_" not in admin.get(base).text, "shown once"
    assert "Nothing was sent yet" in admin.get(base).text
    sent = post(admin, f"{base}/test", base)
    assert sent.status_code == 303
    assert "A worker sends it in a moment" in admin.get(sent.location).text
    bus.turn()
    page = admin.get(sent.location).text
    assert "Delivered" in page
    assert "subscription.tested" in page
    log = admin.get(base, headers={"HX-Request": "true"})
    assert log.status_code == 286, "nothing is under way any more"
    assert "<html" not in log.text
    assert [row[0] for row in bus.ask("SELECT action FROM audit WHERE subject_type = 'subscription' ORDER BY id")] == [
        "subscription.created",
        "subscription.tested",
    ]


def test_off_on_rotated_edited_and_removed(bus: Bus, admin: FlaskClient) -> None:
    receiver = bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    base = f"/subscriptions/{subscription_id}"
    assert re.search("whsec_", post(admin, f"{base}/rotate", base).text)
    assert "two sign" in admin.get(base).text
    post(admin, f"{base}/disable", base)
    assert "A person has switched this subscription off" in admin.get(base).text
    assert post(admin, f"{base}/test", base).status_code == 409
    post(admin, f"{base}/enable", base)
    assert bus.one("SELECT state FROM subscriptions") == "active"
    assert 'value="Product"' in admin.get(f"{base}/edit").text
    post(admin, f"{base}/edit", f"{base}/edit", name="Other", url=receiver.url, types=["run.failed"])
    assert bus.one("SELECT name, types FROM subscriptions") == ("Other", ["run.failed"])
    post(admin, f"{base}/remove", base)
    assert admin.get(base).status_code == 404
    assert bus.one("SELECT count(*) FROM signing_secrets WHERE expires_at IS NULL OR expires_at > now()") == 0


def test_what_failed_is_counted_before_it_is_sent_again(bus: Bus, admin: FlaskClient) -> None:
    receiver = bus.receiver()
    subscription_id, _ = bus.subscribe(receiver.url, types=["record.*"])
    bus.write(5)
    bus.turn()
    base = f"/subscriptions/{subscription_id}"
    bus.owner.execute("UPDATE dispatches SET state = 'failed', error = 'Answered 500.' WHERE sequence = 1")
    bus.owner.execute(
        "UPDATE dispatches SET created_at = created_at - interval '3 h' WHERE id = (SELECT min(id::text)::uuid FROM dispatches)"
    )
    assert "5 events are sent again" in admin.get(f"{base}/replay").text
    since = bus.one("SELECT now() AT TIME ZONE 'UTC'") - timedelta(hours=1)
    narrowed = admin.get(f"{base}/replay?state=failed&since={since.isoformat(timespec='minutes')}")
    assert "4 events are sent again" in narrowed.text
    assert admin.get(f"{base}/replay?since=tomorrow").status_code == 422
    receiver.messages.clear()
    post(admin, f"{base}/replay", f"{base}/replay", state="failed", since=since.isoformat(timespec="minutes"))
    bus.turn()
    assert len(receiver.messages) == 4
    dispatch_id = bus.one("SELECT id FROM dispatches WHERE state = 'failed'")
    post(admin, f"{base}/dispatches/{dispatch_id}/replay", f"{base}/dispatches/{dispatch_id}")
    bus.turn()
    assert bus.one("SELECT count(*) FROM dispatches WHERE state = 'delivered'") == 5


def test_the_operator_has_pages_of_the_host(bus: Bus, operator: FlaskClient, admin: FlaskClient) -> None:
    receiver = bus.receiver()
    made = post(operator, "/host/subscriptions/new", "/host/subscriptions/new", name="Product", url=receiver.url)
    assert "whsec_" in made.text
    assert bus.one("SELECT tenant_id FROM subscriptions") == PLATFORM_TENANT
    bus.write(2)
    bus.turn()
    subscription_id = bus.one("SELECT id FROM subscriptions")
    page = operator.get(f"/host/subscriptions/{subscription_id}").text
    assert page.count("record.created") >= 2
    assert admin.get(f"/subscriptions/{subscription_id}").status_code == 404
    assert "Product" not in admin.get("/subscriptions").text


def test_pages_ask_the_same_number_of_queries_whatever_they_list(bus: Bus, admin: FlaskClient) -> None:
    from sqlalchemy import event

    subscription_id, _ = bus.subscribe("https://host.test/in", types=["record.*"])
    count = 0

    def tick(*_: Any) -> None:
        nonlocal count
        count += 1

    with bus.apps["web"].app_context():
        engine = db.engine
    found = []
    event.listen(engine, "before_cursor_execute", tick)
    try:
        for more in (1, 40):
            rows = "tenant_id, id, subscription_id, event_id, type, subject_id, sequence, body, state"
            bus.owner.execute(
                f"INSERT INTO dispatches ({rows}) SELECT %s, gen_random_uuid(), %s, gen_random_uuid(), 'run.failed', "
                "gen_random_uuid(), 1, '{}', 'failed' FROM generate_series(1, %s)",
                (bus.tenant_id, subscription_id, more),
            )
            bus.subscribe("https://host.test/in", types=["record.*"])
            for address in ("/subscriptions", f"/subscriptions/{subscription_id}"):
                count = 0
                assert admin.get(address).status_code == 200
                found.append(count)
    finally:
        event.remove(engine, "before_cursor_execute", tick)
    assert found[:2] == found[2:]


def test_what_was_switched_off_by_itself_needs_attention(bus: Bus, admin: FlaskClient, operator: FlaskClient) -> None:
    """On the page, in a tenant's sidebar, on its home page; what a person has switched off does not."""
    receiver = bus.receiver()
    for name, client, tenant_id, address in (
        ("mine", admin, bus.tenant_id, "/subscriptions"), ("hosts", operator, PLATFORM_TENANT, "/host/subscriptions"),
    ):  # fmt: skip
        subscription_id, _ = bus.subscribe(receiver.url, tenant_id)
        assert "Needs attention" not in client.get(address).text
        for code, told in (("person", False), ("gone", True), ("failing", True)):
            bus.owner.execute(
                "UPDATE subscriptions SET state = 'disabled', disabled_code = %s, disabled_at = now() WHERE id = %s",
                (code, subscription_id),
            )
            page = client.get(address).text
            assert ("Needs attention" in page) is told, (name, code)
            assert ('<span class="pb-count hot">1</span>' in page) is (told and name == "mine"), (name, code)
            assert ("Events are no longer sent to Product" in page) is told
    with bus.apps["web"].app_context():
        connect_kinto(bus.tenant_id, "http://127.0.0.1:1", "password")
    assert "Events are no longer sent to 1 subscription" in admin.get("/home").text
    member = sign_in(bus.apps, bus.tenant_id, role="member")
    assert "no longer sent" not in member.get("/home").text
