"""Streams of children: a page a call, a checkpoint that survives, changed parents only, lists of the customer."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from connectors.sdk import Checkpoint, ConfigError, ManifestError
from connectors.sdk.contract import Connector
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Vendor
from tests.connectors.sdk.test_reading import read_pass, stamp

Start = Callable[[Any], Any]
_FIELDS = {"fields": [{"name": "email", "label": "E-mail"}], "mapping": [{"target": "email", "sources": ["email"]}]}


class Lists:
    """Lists of contacts: five, of which one is empty, one is gone, and each has pages of two."""

    def __init__(self) -> None:
        self.changed = {f"l{n}": stamp(n) for n in range(5)}

    def __call__(self, call: Call) -> Answer:
        if call.path == "/lists":
            since = call.query.get("since", "")
            items = [{"id": name, "at": at} for name, at in self.changed.items() if at >= since]
            at = int(call.query.get("page", 1)) * 2
            return 200, {}, {"data": items[at - 2 : at]}
        name, at = call.path.split("/")[2], int(call.query.get("page", 1)) * 2
        if name == "l3":
            return 404, {}, {"message": "gone"}
        members = [] if name == "l1" else [{"id": f"{name}-{n}", "email": f"{n}@x.example"} for n in range(5)]
        return 200, {}, {"data": members[at - 2 : at]}


def _connector(**parent: Any) -> Connector:
    paging = {"kind": "page", "parameter": "page", "size": 2}
    child = {
        "name": "contacts", "label": "Members", "object_type": "contact", "records": "data", "paging": paging,
        "request": {"path": "/lists/{parent.id}/members"}, "parent": {"stream": "lists", **parent}, **_FIELDS,
    }  # fmt: skip
    lists = {
        "name": "lists", "label": "Lists", "object_type": "contact", "records": "data", "paging": paging,
        "request": {"path": "/lists"}, "incremental": {"field": "at", "parameter": "since", "lookback_seconds": 0},
        **_FIELDS,
    }  # fmt: skip
    return make_connector(streams=[lists, child])


def test_children_of_every_parent_are_read_once(start: Start) -> None:
    vendor = start(Vendor(Lists()))
    seen, following = read_pass(_connector(), vendor, None)
    assert seen == [f"l{n}-{member}" for n in (0, 2, 4) for member in range(5)]
    assert following is None


def test_a_pass_goes_on_at_the_same_page_of_the_same_parent(start: Start) -> None:
    """From every checkpoint of the pass the rest is read: nothing lost, nothing twice."""
    vendor, connector = start(Vendor(Lists())), _connector()
    session, at = make_session(connector, vendor.origin), Checkpoint.start("full", None)
    checkpoints, pages = [at], []
    while True:
        page = connector.read(session, "contacts", at)
        at = Checkpoint.from_json(orjson.loads(orjson.dumps(page.checkpoint.to_json())))
        pages.append([record.id for record in page.records])
        if page.last:
            break
        checkpoints.append(at)
    for number, point in enumerate(checkpoints):
        rest, page = [], None
        while page is None or not page.last:
            page = connector.read(session, "contacts", point if page is None else page.checkpoint)
            rest += [record.id for record in page.records]
        assert rest == [name for ids in pages[number:] for name in ids]


def test_only_children_of_changed_parents(start: Start) -> None:
    vendor, connector = start(Vendor(Lists())), _connector(incremental=True)
    _, following = read_pass(connector, vendor, None)
    assert following is not None
    seen, _ = read_pass(connector, vendor, stamp(4))
    assert seen == [f"l4-{n}" for n in range(5)]


def test_ids_that_are_unique_only_within_a_parent(start: Start) -> None:
    seen, _ = read_pass(_connector(scoped_ids=True), start(Vendor(Lists())), None)
    assert seen[0] == "l0/l0-0"


def _of_list(**more: Any) -> Connector:
    places = {"name": "places", "label": "Places", "kind": "list", "help": "One a line.", "step": "configure"}
    base = make_connector()
    config = [field.model_dump(exclude_defaults=True) for field in base.manifest.config] + [places]
    parent = {"config": "places", "split": "/", "names": ["owner", "place"]}
    stream = {"request": {"path": "/{parent.owner}/{parent.place}/contacts"}, "parent": parent}
    return make_connector(stream={**stream, **more}, config=config)


def test_a_list_that_the_customer_gives(start: Start) -> None:
    def answer(call: Call) -> Answer:
        return 200, {}, {"data": [{"id": call.path.replace("/", ":"), "at": stamp(1)}]}

    vendor = start(Vendor(answer))
    connector = _of_list(incremental={"field": "at", "parameter": "since"})
    seen, following = read_pass(connector, vendor, None, places="acme/one\nacme/two, beta/%2e%2e")
    assert seen == [":acme:one:contacts", ":acme:two:contacts", ":beta:%252e%252e:contacts"]
    # The vendor's clock, not the newest record: what changes in the first place while the last is read comes again.
    assert following is not None
    assert following > stamp(1)
    with pytest.raises(ConfigError) as caught:
        read_pass(connector, vendor, None, places="acme")
    assert "owner/place" in caught.value.user_message


def test_parents_in_a_circle_are_refused() -> None:
    from connectors.sdk.checks import check

    stream = {"object_type": "contact", "request": {"path": "/x/{parent.id}"}, **_FIELDS}
    streams = [
        {"name": "a", "label": "A", "parent": {"stream": "b"}, **stream},
        {"name": "b", "label": "B", "parent": {"stream": "a"}, **stream},
    ]
    issues = check(make_connector(streams=streams).manifest)
    assert {issue.id for issue in issues if "circle" in issue.message} == {"parent-known"}
    assert ManifestError
