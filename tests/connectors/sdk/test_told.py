"""What a vendor is told and tells in ways of its own: texts alone, our reference, several ids, permissions by name."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from connectors.sdk import Outgoing, ScopeError
from connectors.sdk.fields import FieldInfo
from connectors.sdk.oauth import token_set
from connectors.sdk.schema.auth import Auth
from connectors.sdk.schema.webhooks import Webhooks
from connectors.sdk.webhooks import Delivery, events
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Vendor

Start = Callable[[Any], Any]
LOOKUP = {
    "kind": "lookup",
    "field": "p.ref",
    "request": {"path": "/contacts", "query": {"ref": "{reference}"}},
    "records": "data",
}
BATCH = {
    "request": {"method": "POST", "path": "/batch", "body": {"all": "{items}"}},
    "item": {"p": "{fields.p}"},
    "results": "data",
}


def write(start: Start, operation: str, fields: dict[str, Any], **writes: Any) -> Any:
    """Write one record and return the body that was sent."""
    create = {"request": {"method": "POST", "path": "/contacts", "body": "{fields}"}}
    update = {"request": {"method": "PATCH", "path": "/contacts/{id}", "body": "{fields}"}}
    declared = {"create": create, "update": update, "create_safety": LOOKUP, "batch_create": BATCH, **writes}
    vendor = start(Vendor(lambda _call: (200, {}, {"id": "1", "data": [{"id": "1"}]})))
    connector = make_connector(stream={"writes": declared})
    writer = connector.writer(make_session(connector, vendor.origin), "contacts")
    record = Outgoing(fields, id="1", reference="r-1")
    writer.batch("create", [record]) if operation == "batch" else getattr(writer, operation)(record)
    return json.loads(vendor.calls[0].body)


def test_values_stay_as_they_are_unless_the_vendor_knows_only_texts(start: Start) -> None:
    fields = {"p.n": 2.5, "p.f": True, "p.l": ["a", 1, False], "p.e": None, "p.t": "x"}
    assert write(start, "update", fields) == {"p": {"n": 2.5, "f": True, "l": ["a", 1, False], "e": None, "t": "x"}}
    texts = {"n": "2.5", "f": "true", "l": "a;1;false", "e": "", "t": "x"}
    assert write(start, "update", fields, texts=";") == {"p": texts}


@pytest.mark.parametrize("operation", ["create", "batch"])
def test_a_create_carries_the_reference_it_is_found_by(start: Start, operation: str) -> None:
    sent = write(start, operation, {"p.t": "x"})
    assert (sent["all"][0] if operation == "batch" else sent) == {"p": {"t": "x", "ref": "r-1"}}
    assert write(start, "update", {"p.t": "x"}) == {"p": {"t": "x"}}


@pytest.mark.parametrize(("body", "named"), [({"need": ["a.read", "b.read"]}, "a.read, b.read"), ({"need": "a.read"}, "a.read"), ({}, "one that it does not name")])  # fmt: skip
def test_a_missing_permission_is_named_as_the_answer_names_it(start: Start, body: Any, named: str) -> None:
    rule = {
        "status": [403],
        "means": "forbidden",
        "scope_path": "need",
        "sentence": "Missing is {scope}.",
        "fix": "Allow {scope}.",
    }
    vendor = start(Vendor(lambda _call: (403, {}, body)))
    connector = make_connector(errors=[rule])
    with pytest.raises(ScopeError) as caught:
        connector.check(make_session(connector, vendor.origin))
    assert (caught.value.user_message, caught.value.fix) == (f"Missing is {named}.", f"Allow {named}.")


def test_a_type_may_be_told_by_two_words(start: Start) -> None:
    items = [{"name": n, "type": "enum", "kind": n} for n in ("many", "one")] + [
        {"name": "x", "type": "odd", "kind": "?"}
    ]
    vendor = start(Vendor(lambda _call: (200, {}, {"data": items})))
    types = {"enum": "choice", "enum.many": "multi_choice"}
    discovery = {"request": {"path": "/fields"}, "records": "data", "subtype": "kind", "types": types}
    connector = make_connector(stream={"discovery": discovery})
    found: list[FieldInfo] = connector.discover(make_session(connector, vendor.origin), "contacts")
    assert {info.name: info.type for info in found if info.custom} == {
        "many": "multi_choice",
        "one": "choice",
        "x": "text",
    }


@pytest.mark.parametrize(("ids", "found"), [([1, 2], ["1", "2"]), ([], []), (7, ["7"])])
def test_an_event_may_name_several_records(ids: Any, found: list[str]) -> None:
    rules = [{"stream": "contacts", "id": "gone", "action": "delete"}]
    hooks = Webhooks.model_validate({"verify": {}, "rules": rules, "subscribe": {}})
    delivery = Delivery("POST", "https://x", {}, orjson.dumps({"gone": ids}))
    assert [(event.action, event.record_id) for event in events(hooks, delivery)] == [("delete", one) for one in found]


@pytest.mark.parametrize("answer", [{"scope": "a b"}, {"scope": "a,b"}, {"scopes": ["a", "b"]}, {"scope": ["a", "b"]}])
def test_granted_permissions_are_read_in_all_forms(answer: dict[str, Any]) -> None:
    auth = Auth(kind="client_credentials", token_url="https://x/token")
    tokens = token_set(auth, {"access_token": "t", **answer}, datetime(2026, 11, 24, tzinfo=UTC))
    assert tokens.scopes == ("a", "b")
