"""Every request of the connector, and every answer it is tested with, against HubSpot's own OpenAPI documents."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from connectors.sdk import Checkpoint, Connector, Session
from connectors.sdk.probes import write
from tests.connectors.hubspot.cases import SINCE, STREAMS, fill, writes_of
from tests.connectors.hubspot.documents import Witness, document, hold_against
from tests.connectors.hubspot.sessions import here, session_at
from tests.connectors.hubspot.vendor import CHANGED, HubSpot

SOURCES = dict.fromkeys(STREAMS, ("properties.favourite_shade", "properties.seats", "id"))


def ask_everything(stream: str, session: Session, connector: Connector, *, reads: bool = False) -> None:
    """Make every call there is for a stream, or those that read."""
    connector.read(session, stream, Checkpoint.start("full", None))
    connector.read(session, stream, Checkpoint.start("incremental", SINCE))
    assert connector.fetch(session, stream, {"contacts": "101", "companies": "104", "deals": "106"}[stream])
    for case in writes_of(stream):
        if case.operation == "find" or not reads:
            write(connector, session, case)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_request_and_answer_is_as_documented(stream: str, witness: Witness, origin: str) -> None:
    openapi = document("hubspot-contacts.clean.json", stream)
    fill(witness.vendor)
    for name in STREAMS:
        ask_everything(name, session_at(origin, SOURCES), here())
    seen = [(call, answer) for call, answer in witness.seen if f"/objects/{stream}" in call.path]
    for call, answer in seen:
        hold_against(openapi, call, answer)
    base = f"/crm/v3/objects/{stream}"
    first = {"contacts": 108, "companies": 111, "deals": 114}[stream]
    assert [(call.method, call.path.removeprefix(base)) for call, _ in seen] == [
        ("GET", ""), ("POST", "/search"), ("GET", f"/{ {'contacts': 101, 'companies': 104, 'deals': 106}[stream] }"),
        ("POST", ""), ("POST", "/batch/read"), ("POST", "/batch/read"), ("PATCH", f"/{first}"), ("POST", "/batch/create"),
        ("POST", "/batch/update"), ("DELETE", f"/{first}"),
    ]  # fmt: skip
    assert [answer[0] for _, answer in seen] == [200, 200, 200, 201, 200, 207, 200, 201, 200, 204]


@pytest.mark.parametrize("stream", STREAMS)
def test_all_properties_that_are_declared_or_mapped_are_asked_for(stream: str, witness: Witness, origin: str) -> None:
    fill(witness.vendor)
    ask_everything(stream, session_at(origin, SOURCES), here(), reads=True)
    declared = [field.name.removeprefix("properties.") for field in here().manifest.stream(stream).fields]
    wanted = [*declared, "favourite_shade", "seats"]
    asked = [call.query["properties"].split(",") for call, _ in witness.seen if "properties" in call.query]
    asked += [json.loads(call.body)["properties"] for call, _ in witness.seen if call.path.endswith(("/search", "/batch/read"))]  # fmt: skip
    assert asked == [wanted] * 5
    assert CHANGED[stream] in wanted


def test_a_mapped_property_of_the_account_is_read(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot)
    start = Checkpoint.start("full", None)
    shades = [
        here().read(session_at(origin, sources), "contacts", start).records[0].data["properties"].get("favourite_shade")
        for sources in ({}, SOURCES)
    ]
    assert shades == [None, "blue"]


def test_the_check_names_the_account(witness: Witness, origin: str) -> None:
    assert here().check(session_at(origin)).id == "62515"
    assert [(call.method, call.path) for call, _ in witness.seen] == [("GET", "/account-info/v3/details")]


_ALL = """
import json, sys
from hubspot.crm.properties import ApiClient, Configuration, CoreApi
configuration = Configuration(host=sys.argv[1])
configuration.access_token = sys.argv[2]
found = CoreApi(ApiClient(configuration)).get_all(sys.argv[3]).results
print(json.dumps([[p.name, p.type, p.field_type, [o.value for o in p.options]] for p in found]))
"""


@pytest.mark.parametrize("stream", STREAMS)
def test_the_vendors_own_client_reads_the_same_properties(
    stream: str, witness: Witness, origin: str, official: Callable[..., str]
) -> None:
    found = here().discover(session_at(origin), stream)
    theirs: list[Any] = json.loads(official(_ALL, origin, "test-access-token-0000", stream))
    asked = [(call.method, call.path) for call, _ in witness.seen]
    assert asked == [("GET", f"/crm/v3/properties/{stream}")] * 2
    mine = {info.name.removeprefix("properties."): info for info in found}
    assert {name for name, *_ in theirs} - set(mine) == {"secret_note"}  # HubSpot hides it from people too.
    for name, _type, _kind, options in theirs:
        if name in mine:
            assert [choice.value for choice in mine[name].choices] == options


def test_properties_have_the_type_of_their_field(hubspot: HubSpot, origin: str) -> None:
    found = {i.name.removeprefix("properties."): i for i in here().discover(session_at(origin), "contacts")}
    own = {name: (info.type, info.read_only) for name, info in found.items() if info.custom}
    assert own == {
        "favourite_shade": ("choice", False), "shades": ("multi_choice", False), "is_member": ("flag", False),
        "about": ("long_text", False), "renewal": ("date", False), "seats": ("number", False), "score": ("number", True),
    }  # fmt: skip
    assert found["favourite_shade"].choices[0].label == "Light blue"
    assert found["lastmodifieddate"].custom is False
