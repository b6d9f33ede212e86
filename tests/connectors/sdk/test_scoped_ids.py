"""Records whose ids are unique within their parent only: read one by one, written, and named by events."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from connectors.sdk import Checkpoint, ConfigError, Connector, Outgoing, webhooks
from connectors.sdk.schema.webhooks import EventRule, Subscribe, Verify, Webhooks
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Vendor

Start = Callable[[Any], Any]
DATE = "Tue, 24 Nov 2026 09:00:00 GMT"


def connector() -> Connector:
    """Return one whose contacts are numbered within the books of a list, as owner/name."""
    write = {"body": "{fields}", "method": "POST", "path": "/{parent.owner}/{parent.name}/contacts"}
    stream = {
        "request": {"path": "/{parent.owner}/{parent.name}/contacts"}, "records": "", "id": "n",
        "parent": {"config": "books", "split": "/", "names": ["owner", "name"], "scoped_ids": True},
        "fetch": {"path": "/{parent.owner}/{parent.name}/contacts/{id}"}, "add": {"book": "{parent.id}"},
        "incremental": {"field": "at", "parameter": "since"},
        "writes": {
            "create": {"request": write}, "create_safety": {"kind": "review", "because": "There is no other way."},
            "update": {"request": {**write, "path": f"{write['path']}/{{id}}"}},
            "delete": {"request": {"method": "DELETE", "path": f"{write['path']}/{{id}}"}},
        },
    }  # fmt: skip
    config = [
        {"name": "server", "label": "Server", "kind": "origin", "help": "Where."},
        {"name": "key", "label": "Key", "kind": "secret", "help": "Which."},
        {"name": "books", "label": "Books", "kind": "list", "help": "As owner/name."},
    ]
    return make_connector(stream=stream, config=config)


def answer(call: Call) -> Answer:
    """Every book but `ada/lost` has the contacts 1 and 2."""
    headers = {"Date": DATE}
    if call.path.startswith("/ada/lost"):
        return 404, headers, {"message": "gone"}
    if call.method == "GET" and call.path.endswith("/contacts"):
        return 200, headers, [{"n": 1, "email": "1@x.test"}, {"n": 2, "email": "2@x.test"}]
    return 200, headers, {"n": int(call.path.rpartition("/")[2]) if call.path[-1].isdigit() else 3}


def test_one_record_is_asked_for_within_its_parent(start: Start) -> None:
    vendor = start(Vendor(answer))
    asked = connector()
    found = asked.fetch(make_session(asked, vendor.origin, books=["ada/one", "ada/two"]), "contacts", "ada/two/2")
    assert found is not None
    assert (found.id, found.data["book"], vendor.calls[0].path) == ("ada/two/2", "ada/two", "/ada/two/contacts/2")


def test_a_write_goes_to_its_parent_and_its_id_comes_back(start: Start) -> None:
    vendor = start(Vendor(answer))
    asked = connector()
    writer = asked.writer(make_session(asked, vendor.origin, books=["ada/one", "ada/two"]), "contacts")
    fields = {"email": "new@x.test"}
    assert writer.create(Outgoing(fields)).id == "ada/one/3"
    assert writer.create(Outgoing(fields, parent="ada/two")).id == "ada/two/3"
    assert writer.update(Outgoing(fields, id="ada/two/2")).id == "ada/two/2"
    writer.delete(Outgoing({}, id="ada/two/1"))
    assert [(call.method, call.path) for call in vendor.calls] == [
        ("POST", "/ada/one/contacts"), ("POST", "/ada/two/contacts"), ("POST", "/ada/two/contacts/2"),
        ("DELETE", "/ada/two/contacts/1"),
    ]  # fmt: skip
    assert orjson.loads(vendor.calls[2].body) == fields


def test_a_parent_that_the_customer_named_and_that_is_gone_is_no_empty_one(start: Start) -> None:
    vendor = start(Vendor(answer))
    asked = connector()
    session = make_session(asked, vendor.origin, books=["ada/one", "ada/lost"])
    at = Checkpoint.start("full", None)
    for _ in range(2):
        at = asked.read(session, "contacts", at).checkpoint
    with pytest.raises(ConfigError):
        asked.read(session, "contacts", at)


def test_the_next_pass_starts_by_the_other_sides_clock(start: Start) -> None:
    vendor = start(Vendor(answer))
    asked = connector()
    session = make_session(asked, vendor.origin, books=["ada/one", "ada/two"])
    at = Checkpoint.start("full", None)
    for _ in range(3):
        page = asked.read(session, "contacts", at)
        at = Checkpoint.from_json(page.checkpoint.to_json())
    assert page.last
    assert asked.next_since("contacts", at) == "2026-11-24T08:55:00Z"


def test_an_event_names_the_parent() -> None:
    rule = EventRule(stream="contacts", id="contact.n", parent="book.path")
    hooks = Webhooks(verify=Verify(), rules=[rule], subscribe=Subscribe(by_hand="By hand."))
    body = orjson.dumps({"contact": {"n": 2}, "book": {"path": "ada/two"}})
    (event,) = webhooks.events(hooks, webhooks.Delivery("POST", "https://p.test", {}, body))
    assert event.record_id == "ada/two/2"
