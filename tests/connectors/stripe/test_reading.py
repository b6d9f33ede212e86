"""Customers, invoices and subscriptions of a live localstripe: read in full, changed, and read again through events."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from app.services.object_types import standard_fields
from app.sync.retry import decide
from connectors.sdk import Checkpoint, CursorExpiredError, Outgoing, Page, compile_mapping
from connectors.sdk.cursors import iso
from tests.connectors.sdk.servers import Vendor
from tests.connectors.stripe.local import KEY, Front, LocalConnector, read_all, session

CARD = {"source[object]": "card", "source[number]": "4242424242424242", "source[exp_month]": "12", "source[exp_year]": "2035", "source[cvc]": "123"}  # fmt: skip


def applied(state: dict[str, str | None], pages: list[Page]) -> dict[str, str | None]:
    """Return id -> name after the pages of a pass, applied in their order."""
    state = dict(state)
    for page in pages:
        for record in page.records:
            state[record.id] = record.data["name"]
        for gone in page.deleted:
            state.pop(gone, None)
    return state


def next_second() -> datetime:
    """Wait for the next second and return it: Stripe's times have no more."""
    at = int(time.time()) + 1
    while time.time() < at:
        time.sleep(0.02)
    return datetime.fromtimestamp(at, UTC)


def post(stripe: Front, path: str, **form: Any) -> dict[str, Any]:
    """Change something at the vendor, past the connector."""
    answer = requests.post(f"{stripe.origin}{path}", auth=(KEY, ""), data=form, timeout=10)
    answer.raise_for_status()
    return dict(answer.json())


def test_300_customers_read_changed_and_read_again(stripe: Front, connector: LocalConnector) -> None:
    with_ = session(connector)
    writer = connector.writer(with_, "customers")
    made = [
        writer.create(Outgoing({"email": f"c{n}@example.test", "name": f"Customer {n}"}, key=f"key-{n}"))
        for n in range(300)
    ]
    stripe.calls.clear()
    full = read_all(connector, with_, "customers")
    assert [len(page.records) for page in full] == [100, 100, 100]
    assert [call.query.get("starting_after") for call in stripe.calls] == [None, made[99].id, made[199].id]
    assert {call.headers["authorization"][:6] for call in stripe.calls} == {"Basic "}
    state = applied({}, full)
    assert state == {written.id: f"Customer {n}" for n, written in enumerate(made)}

    begun = next_second()
    for n in range(0, 300, 10):
        writer.update(Outgoing({"name": f"Changed {n}"}, id=made[n].id))
    writer.update(Outgoing({"name": "Changed again"}, id=made[0].id))
    writer.update(Outgoing({"name": "Soon gone"}, id=made[5].id))
    writer.delete(Outgoing({}, id=made[5].id))
    new = writer.create(Outgoing({"name": "New"}, key="key-new"))
    wanted = {i: name for i, name in state.items() if i != made[5].id} | {
        **{made[n].id: f"Changed {n}" for n in range(0, 300, 10)}, made[0].id: "Changed again", new.id: "New",
    }  # fmt: skip

    # From a time on: what changed since, each once, in its newest state.
    changes = read_all(connector, with_, "customers", iso(begun))
    assert sum(len(page.records) for page in changes) == 31
    assert [gone for page in changes for gone in page.deleted] == [made[5].id]
    assert applied(state, changes) == wanted

    # From the cursor on, which goes back five minutes: older news of the same customers, on later pages, is left out.
    since = connector.next_since("customers", full[-1].checkpoint)
    stripe.calls.clear()
    again = read_all(connector, with_, "customers", since)
    assert len(stripe.calls) == 4
    assert sum(len(page.records) for page in again) + sum(len(page.deleted) for page in again) == 301
    assert applied(state, again) == wanted == applied({}, read_all(connector, with_, "customers"))


def test_the_cursor_is_the_time_of_the_pass_not_of_its_records(stripe: Front, connector: LocalConnector) -> None:
    # The newest customer may be years old; events are asked for from the pass on.
    connector.writer(session(connector), "customers").create(Outgoing({"name": "A"}, key="k"))
    before = datetime.now(UTC) - timedelta(seconds=1)
    full = read_all(connector, session(connector), "customers")
    since = connector.next_since("customers", full[-1].checkpoint)
    assert since is not None
    assert datetime.fromisoformat(since) >= before - timedelta(seconds=300)
    later = Checkpoint("incremental", since=since, started="2030-01-01T00:00:00Z", high_water="2020-01-01T00:00:00Z")
    assert connector.next_since("customers", later) == "2029-12-31T23:55:00Z"


@pytest.mark.parametrize(("days", "expired"), [(28, False), (30, True), (400, True)])
def test_a_cursor_older_than_the_events_leads_to_a_full_pass(
    stripe: Front, connector: LocalConnector, days: int, expired: bool
) -> None:
    at = datetime.now(UTC)
    with_ = session(connector, at)
    since = iso(at - timedelta(days=days))
    for stream in ("customers", "invoices", "subscriptions"):
        if not expired:
            assert read_all(connector, with_, stream, since)[-1].last
            continue
        stripe.calls.clear()
        with pytest.raises(CursorExpiredError) as caught:
            connector.read(with_, stream, Checkpoint.start("incremental", since))
        assert decide(caught.value, 0).kind == "restart"
        assert stripe.calls == []


def test_an_event_that_is_gone_while_reading_leads_there_too(stripe: Front, connector: LocalConnector) -> None:
    gone = {"error": {"code": "resource_missing", "message": "No such event: 'evt_1'", "type": "invalid_request_error"}}
    stripe.faults = [(404, {}, gone)]
    with pytest.raises(CursorExpiredError):
        read_all(connector, session(connector), "customers", iso(datetime.now(UTC) - timedelta(days=1)))


def test_more_changes_than_can_be_remembered_lead_there_too() -> None:
    def answer(call: Any) -> Any:
        start = int(call.query.get("starting_after", "evt_0")[4:])
        events = [
            {
                "id": f"evt_{n}",
                "type": "customer.updated",
                "created": 1795500000,
                "data": {"object": {"id": f"cus_{n}"}},
            }
            for n in range(start + 1, start + 101)
        ]
        return 200, {}, {"data": events, "has_more": True}

    vendor = Vendor(answer)
    connector = LocalConnector(vendor.origin)
    try:
        with pytest.raises(CursorExpiredError):
            read_all(
                connector,
                session(connector, datetime(2026, 11, 24, 9, tzinfo=UTC)),
                "customers",
                "2026-11-23T09:00:00Z",
            )
    finally:
        vendor.stop()
    assert len(vendor.calls) == 101


@pytest.fixture
def subscribed(stripe: Front) -> dict[str, Any]:
    """A customer with a card and a subscription of 19.99 EUR a month, which makes an invoice."""
    post(stripe, "/v1/plans", id="pro", amount=1999, currency="eur", interval="month", **{"product[name]": "Pro"})
    customer = post(stripe, "/v1/customers", name="Ada", email="ada@example.test")
    post(stripe, f"/v1/customers/{customer['id']}/sources", **CARD)
    return post(stripe, "/v1/subscriptions", customer=customer["id"], **{"items[0][plan]": "pro"})


def test_invoices_and_subscriptions_with_their_amounts(
    stripe: Front, connector: LocalConnector, subscribed: dict[str, Any]
) -> None:
    def mapped(stream: str, since: str | None = None) -> list[dict[str, Any]]:
        declared = connector.manifest.stream(stream)
        mapping = compile_mapping(declared.rules(), standard_fields(declared.object_type))
        pages = read_all(connector, session(connector), stream, since)
        return [mapping.apply(record.data).values for page in pages for record in page.records]

    ends = datetime.fromtimestamp(subscribed["current_period_end"], UTC).date().isoformat()
    (invoice,) = mapped("invoices")
    assert (invoice["amount"], invoice["currency"], invoice["customer_email"]) == (19.99, "EUR", "ada@example.test")
    assert invoice["issued_on"] in (datetime.now(UTC).date().isoformat(), str(datetime.now(UTC).date() - timedelta(1)))
    (subscription,) = mapped("subscriptions")
    assert (subscription["status"], subscription["renews_on"]) == ("active", ends)
    since = iso(datetime.now(UTC) - timedelta(hours=1))
    assert [item["status"] for item in mapped("subscriptions", since)] == ["active"]
    requests.delete(f"{stripe.origin}/v1/subscriptions/{subscribed['id']}", auth=(KEY, ""), timeout=10)
    # One that has ended stays, with that status.
    assert [item["status"] for item in mapped("subscriptions", since)] == ["canceled"]
    assert [item["status"] for item in mapped("subscriptions")] == ["canceled"]


@pytest.mark.parametrize(
    ("data", "plan", "amount", "renews"),
    [
        ({"items": {"data": [{"current_period_end": 1798000000, "price": {"nickname": "Team", "unit_amount": 500, "currency": "jpy", "product": "prod_1"}}]}}, "Team", 500, "2026-12-23"),
        ({"current_period_end": 1798000000, "plan": {"nickname": "Old"}, "items": {"data": [{"price": {"unit_amount": 12345, "currency": "kwd", "product": "prod_1"}}]}}, "Old", 12.345, "2026-12-23"),
        ({"items": {"data": [{"price": {"unit_amount": None, "currency": "eur", "product": "prod_1"}}]}}, "prod_1", None, None),
    ],
)  # fmt: skip
def test_subscriptions_of_older_and_newer_versions(
    data: dict[str, Any], plan: str, amount: float | None, renews: str | None
) -> None:
    declared = LocalConnector("http://127.0.0.2").manifest.stream("subscriptions")
    mapping = compile_mapping(declared.rules(), standard_fields("subscription"))
    values = mapping.apply({"id": "sub_1", "status": "active", **data}).values
    assert (values["plan"], values["amount"], values["renews_on"]) == (plan, amount, renews)


def test_one_customer_and_one_that_is_gone(stripe: Front, connector: LocalConnector) -> None:
    made = post(stripe, "/v1/customers", name="Ada")
    found = connector.fetch(session(connector), "customers", made["id"])
    assert found is not None
    assert (found.id, found.data["name"]) == (made["id"], "Ada")
    assert connector.fetch(session(connector), "customers", "cus_none") is None
    stripe.faults = [(200, {}, {"id": "cus_1", "object": "customer", "deleted": True})]
    assert connector.fetch(session(connector), "customers", "cus_1") is None


def test_the_account_is_named(connector: LocalConnector) -> None:
    account = connector.check(session(connector))
    assert (account.id, account.name) == ("acct_1test", "Acme")
