"""Writes: what is sent, what makes it safe to repeat, and what the answer says."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import ChangedError, ConfigError, ContractError, Outgoing, Refused, Writer, Written
from connectors.sdk.writing import flat, nested
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Vendor

Start = Callable[[Any], Any]
_WRITES: dict[str, Any] = {
    "create": {"request": {"method": "POST", "path": "/contacts", "body": {"properties": "{fields.properties}"}}},
    "update": {"request": {"method": "PATCH", "path": "/contacts/{id}", "body": "{fields}"}},
    "delete": {"request": {"method": "DELETE", "path": "/contacts/{id}"}},
    "create_safety": {"kind": "idempotency_key", "header": "Idempotency-Key"},
    "concurrency": {"kind": "if_match", "format": '"{version}"'},
    "batch_create": {
        "request": {"method": "POST", "path": "/batch", "body": {"inputs": "{items}"}}, "results": "results",
        "item": {"fields": "{fields}", "trace": "{reference}"}, "match": "reference", "match_path": "trace",
        "errors": "errors", "error_match": "context.trace", "error_message": "message",
    },
}  # fmt: skip
_FIELDS = [
    {"name": "email", "label": "E-mail"}, {"name": "properties", "label": "All", "type": "json"},
    {"name": "made", "label": "Made", "type": "datetime", "read_only": True},
]  # fmt: skip


def _writer(start: Start, answer: Callable[[Call], Answer], **changes: Any) -> tuple[Writer, Vendor]:
    vendor = start(Vendor(answer))
    writes = {name: part for name, part in {**_WRITES, **changes}.items() if part is not None}
    connector = make_connector(stream={"writes": writes, "version": "version", "fields": _FIELDS})
    return connector.writer(make_session(connector, vendor.origin), "contacts"), vendor


def _echo(call: Call) -> Answer:
    return 200, {}, {"id": "c1", "version": 7, "sent": orjson.loads(call.body or b"null")}


def test_a_create_carries_its_key_and_its_answer_is_read(start: Start) -> None:
    writer, vendor = _writer(start, _echo)
    written = writer.create(Outgoing({"properties.name": "Maja", "properties.zip.code": "1"}, key="key-1"))
    assert (written.id, written.version) == ("c1", "7")
    assert orjson.loads(vendor.calls[0].body) == {"properties": {"name": "Maja", "zip": {"code": "1"}}}
    assert vendor.calls[0].headers["idempotency-key"] == "key-1"
    with pytest.raises(ContractError):
        writer.create(Outgoing({"properties.name": "Maja"}))
    assert len(vendor.calls) == 1


def test_an_update_says_which_version_it_changes(start: Start) -> None:
    writer, vendor = _writer(start, lambda call: (412, {}, {}) if call.headers["if-match"] == '"6"' else _echo(call))
    assert writer.update(Outgoing({"email": "a@x.example"}, id="c/1", version="7")).version == "7"
    assert vendor.calls[0].path == "/contacts/c%2F1"
    with pytest.raises(ChangedError):
        writer.update(Outgoing({"email": "a@x.example"}, id="c1", version="6"))


def test_a_version_in_the_body(start: Start) -> None:
    guard = {"kind": "version_field", "field": "SyncToken"}
    writer, vendor = _writer(start, _echo, concurrency=guard)
    writer.update(Outgoing({"email": "a@x.example"}, id="c1", version="3"))
    assert orjson.loads(vendor.calls[0].body) == {"email": "a@x.example", "SyncToken": "3"}


def test_what_can_only_be_read_is_not_written(start: Start) -> None:
    writer, vendor = _writer(start, _echo)
    with pytest.raises(ConfigError) as caught:
        writer.update(Outgoing({"made": "2026-01-01"}, id="c1"))
    assert caught.value.code == "read_only"
    assert not vendor.calls


def test_a_delete_of_what_is_gone_is_a_delete(start: Start) -> None:
    writer, vendor = _writer(start, lambda _call: (404, {}, {}))
    writer.delete(Outgoing({}, id="c1", version="2"))
    assert [(call.method, call.headers["if-match"]) for call in vendor.calls] == [("DELETE", '"2"')]


def test_a_lost_create_is_looked_up_by_our_reference(start: Start) -> None:
    """The search also finds what only resembles it; that is left out."""
    items = [{"id": "c1", "ref": "ours-1"}, {"id": "c2", "ref": "ours-10"}]
    safety = {
        "kind": "lookup",
        "field": "ref",
        "records": "data",
        "request": {"path": "/find", "query": {"q": "{reference}"}},
    }
    writer, vendor = _writer(start, lambda _call: (200, {}, {"data": items}), create_safety=safety)
    assert [record.id for record in writer.find("ours-1")] == ["c1"]
    assert vendor.calls[0].query == {"q": "ours-1"}
    assert writer.find("ours-2") == []


def test_a_batch_tells_what_became_of_each(start: Start) -> None:
    def answer(_call: Call) -> Answer:
        return 207, {}, {
            "results": [{"id": "c3", "trace": "r3"}, {"id": "c1", "trace": "r1"}],
            "errors": [{"message": "no e-mail", "context": {"trace": ["r2"]}}],
        }  # fmt: skip

    writer, vendor = _writer(start, answer)
    records = [Outgoing({"email": f"{n}@x.example"}, reference=f"r{n}") for n in range(1, 5)]
    first, second, third, fourth = writer.batch("create", records)
    assert isinstance(first, Written)
    assert isinstance(third, Written)
    assert (first.id, third.id) == ("c1", "c3")
    assert second == Refused("no e-mail")
    assert fourth == Refused("The other side did not say what became of it.", lost=True)
    assert orjson.loads(vendor.calls[0].body)["inputs"][1] == {"fields": {"email": "2@x.example"}, "trace": "r2"}


def test_a_form_with_nested_keys(start: Start) -> None:
    create = {"request": {"method": "POST", "path": "/c", "form": "{fields}"}}
    writer, vendor = _writer(start, _echo_form, create=create)
    writer.create(Outgoing({"address.city": "Aarhus", "tags": ["a", "b"], "on": True, "note": None}, key="k"))
    assert dict(parse_qsl(vendor.calls[0].body.decode(), keep_blank_values=True)) == {
        "address[city]": "Aarhus", "tags[0]": "a", "tags[1]": "b", "on": "true", "note": "",
    }  # fmt: skip


def _echo_form(_call: Call) -> Answer:
    return 200, {}, {"id": "c1"}


def test_an_empty_answer_keeps_what_is_known(start: Start) -> None:
    writer, _ = _writer(start, lambda _call: (204, {}, b""))
    assert writer.update(Outgoing({"email": "a@x.example"}, id="c9")) == Written("c9", None)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3)
)  # fmt: skip


@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), _VALUES, max_size=4))
def test_a_flat_form_holds_every_value_once(value: dict[str, Any]) -> None:
    def leaves(inner: Any) -> int:
        return sum(leaves(part) for part in inner.values()) if isinstance(inner, dict) else 1

    assert len(flat(value)) == leaves(value)


def test_a_path_through_a_value_is_a_fault() -> None:
    with pytest.raises(ContractError):
        nested({"a": 1, "a.b": 2})
