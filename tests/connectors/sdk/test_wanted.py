"""Asking for the fields that are needed, the next ids in a body, and a pass that starts before what it may have missed."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.sdk import Checkpoint, Connector, ManifestError, load_manifest
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Vendor

Start = Callable[[Any], Any]
FIELDS = [{"name": "p.email", "label": "E-mail"}, {"name": "p.name", "label": "Name"}, {"name": "id", "label": "Id"}]
DISCOVERY = {"request": {"path": "/fields"}, "records": "data", "prefix": "p."}


def asking(**stream: Any) -> Connector:
    """Return a connector whose vendor sends only what it is asked for."""
    base = {
        "request": {"path": "/contacts", "query": {"fields": "{wanted.text}", "field": "{wanted.names}"}},
        "fetch": {"path": "/contacts/{id}", "query": {"fields": "{wanted.text}"}}, "fields": FIELDS,
        "mapping": [{"target": "email", "sources": ["p.email"]}],
    }  # fmt: skip
    return make_connector(stream={**base, **stream})


@pytest.mark.parametrize(
    ("discovery", "sources", "wanted"),
    [
        (None, (), "p.email,p.name,id"),
        (None, ("p.own", "p.email"), "p.email,p.name,id,p.own"),
        (DISCOVERY, (), "email,name"),
        (DISCOVERY, ("p.own", "p.name", "other"), "email,name,own"),
    ],
)  # fmt: skip
def test_declared_and_mapped_fields_are_asked_for_by_the_vendors_names(
    start: Start, discovery: Any, sources: tuple[str, ...], wanted: str
) -> None:
    vendor = start(Vendor(lambda call: (200, {}, {"id": "1"} if call.path != "/contacts" else {"data": []})))
    connector = asking(discovery=discovery)
    session = replace(make_session(connector, vendor.origin), sources={"contacts": sources, "others": ("p.x",)})
    connector.read(session, "contacts", Checkpoint.start("full", None))
    connector.fetch(session, "contacts", "1")
    assert [call.query["fields"] for call in vendor.calls] == [wanted, wanted]
    assert vendor.calls[0].query["field"] == wanted.split(",")[0]  # A list is sent as a parameter for each.


def test_the_next_ids_are_asked_for_inside_a_list_of_the_body(start: Start) -> None:
    def answer(call: Call) -> Answer:
        after = json.loads(call.body)["all"][1]["value"]
        return 200, {}, {"data": [{"id": str(n)} for n in range(after + 1, min(after + 3, 6))]}

    vendor = start(Vendor(answer))
    filters = [{"name": "kind", "value": "x"}, {"name": "id", "value": 0}]
    paging = {"kind": "last_id", "path": "id", "place": "body", "parameter": "all.1.value", "size": 2}
    connector = make_connector(
        stream={"request": {"method": "POST", "path": "/search", "body": {"all": filters}}, "paging": paging}
    )
    found, at = [], Checkpoint.start("full", None)
    for _ in range(3):
        page = connector.read(make_session(connector, vendor.origin), "contacts", at)
        found += [record.id for record in page.records]
        at = replace(page.checkpoint, token=page.checkpoint.token and int(page.checkpoint.token))
    assert found == ["1", "2", "3", "4", "5"]
    assert page.last
    assert [json.loads(call.body)["all"][0]["value"] for call in vendor.calls] == ["x"] * 3


@pytest.mark.parametrize(
    ("started", "newest", "since"),
    [
        ("2026-11-24T09:00:00Z", "2026-11-24T08:00:00Z", "2026-11-24T07:59:00Z"),
        ("2026-11-24T09:00:00Z", "2026-11-24T09:30:00Z", "2026-11-24T08:59:00Z"),
        (None, "2026-11-24T09:30:00Z", "2026-11-24T09:29:00Z"),
        ("2026-11-24T09:00:00Z", None, "2026-11-23T00:00:00Z"),
    ],
)  # fmt: skip
def test_the_next_pass_starts_before_all_that_may_have_changed_behind_this_one(
    started: str | None, newest: str | None, since: str
) -> None:
    cursor = {"field": "changed", "parameter": "since", "lookback_seconds": 60}
    connector = make_connector(stream={"incremental": cursor})
    at = Checkpoint("incremental", since="2026-11-23T00:00:00Z", high_water=newest, started=started)
    assert connector.next_since("contacts", at) == since


def test_wanted_has_a_value_only_where_there_is_a_stream() -> None:
    text = make_connector().manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text["check"]["request"]["query"] = {"fields": "{wanted.text}"}
    with pytest.raises(ManifestError) as caught:
        load_manifest(json.dumps(text))
    assert [issue.id for issue in caught.value.issues] == ["places-known"]
