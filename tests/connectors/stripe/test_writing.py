"""Customers are created, changed and deleted at a live localstripe, with form-encoded bodies and idempotency keys."""

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests

from connectors.sdk import (
    AuthError,
    ConfigError,
    ConnectorError,
    ContractError,
    Outgoing,
    RateLimitedError,
    RecordError,
    ScopeError,
    Secret,
    UnavailableError,
)
from tests.connectors.stripe.local import KEY, Front, LocalConnector, session

FIELDS = {
    "name": "Ada & Söhne", "email": "ada+1@example.test", "address.city": "Oslo", "address.country": "NO",
    "metadata": {"crm": "7"},
}  # fmt: skip


def held(stripe: Front, name: str | None) -> dict[str, Any]:
    """Return a customer as the vendor has it."""
    return dict(requests.get(f"{stripe.origin}/v1/customers/{name}", auth=(KEY, ""), timeout=10).json())


def test_a_customer_is_created_changed_and_deleted(stripe: Front, connector: LocalConnector) -> None:
    writer = connector.writer(session(connector), "customers")
    made = writer.create(Outgoing(FIELDS, reference="patchbay-1", key="patchbay-key-1"))
    call = stripe.calls[-1]
    assert call.headers["idempotency-key"] == "patchbay-key-1"
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(call.body.decode())) == {
        "name": "Ada & Söhne", "email": "ada+1@example.test", "address[city]": "Oslo", "address[country]": "NO",
        "metadata[crm]": "7",
    }  # fmt: skip
    assert made.data is not None
    assert held(stripe, made.id)["name"] == "Ada & Söhne"
    assert held(stripe, made.id)["address"] == {"city": "Oslo", "country": "NO"}
    assert held(stripe, made.id)["metadata"] == {"crm": "7"}

    changed = writer.update(Outgoing({"name": "Ada", "phone": None}, id=made.id))
    # An empty text is how Stripe is told to take a value away.
    assert dict(parse_qsl(stripe.calls[-1].body.decode(), keep_blank_values=True)) == {"name": "Ada", "phone": ""}
    assert "idempotency-key" not in stripe.calls[-1].headers
    assert changed.id == made.id
    assert held(stripe, made.id)["email"] == "ada+1@example.test"

    writer.delete(Outgoing({}, id=made.id))
    assert "error" in held(stripe, made.id)
    writer.delete(Outgoing({}, id=made.id))  # What is gone already is deleted.


def test_no_create_without_a_key(stripe: Front, connector: LocalConnector) -> None:
    with pytest.raises(ContractError):
        connector.writer(session(connector), "customers").create(Outgoing(FIELDS))
    assert stripe.calls == []


@pytest.mark.parametrize("stream", ["invoices", "subscriptions"])
def test_nothing_else_is_written(connector: LocalConnector, stream: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connector.writer(session(connector), stream)
    assert caught.value.code == "no_writes"


@pytest.mark.parametrize("name", ["balance", "created", "currency"])
def test_what_can_only_be_read_is_not_written(stripe: Front, connector: LocalConnector, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connector.writer(session(connector), "customers").update(Outgoing({name: "1"}, id="cus_1"))
    assert caught.value.code == "read_only"
    assert stripe.calls == []


def test_what_localstripe_refuses_is_that_records_own_trouble(stripe: Front, connector: LocalConnector) -> None:
    with pytest.raises(RecordError):
        connector.writer(session(connector), "customers").create(Outgoing({"nonsense": "x"}, key="k"))


def test_a_wrong_key_asks_for_another(stripe: Front, connector: LocalConnector) -> None:
    with pytest.raises(AuthError):
        connector.fetch(replace(session(connector), credentials={"key": Secret("no-key-at-all")}), "customers", "cus_1")


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"type": "invalid_request_error", "code": "lock_timeout"}, UnavailableError),
        (429, {"type": "invalid_request_error", "code": "rate_limit"}, RateLimitedError),
        (409, {"type": "idempotency_error"}, UnavailableError),
        (401, {"type": "invalid_request_error"}, AuthError),
        (403, {"type": "invalid_request_error"}, ScopeError),
        (400, {"type": "invalid_request_error", "code": "email_invalid", "param": "email"}, RecordError),
        (402, {"type": "card_error"}, RecordError),
        (404, {"type": "invalid_request_error", "code": "resource_missing"}, RecordError),
        (500, {"type": "api_error"}, UnavailableError),
    ],
)  # fmt: skip
def test_a_refusal_is_understood(
    stripe: Front, connector: LocalConnector, status: int, error: dict[str, Any], kind: type
) -> None:
    stripe.faults = [(status, {"Stripe-Should-Retry": "true"}, {"error": {"message": "No.", **error}})]
    with pytest.raises(ConnectorError) as caught:
        connector.writer(session(connector), "customers").update(Outgoing({"name": "x"}, id="cus_1"))
    assert type(caught.value) is kind
    assert caught.value.user_message
    assert caught.value.fix
