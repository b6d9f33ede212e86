"""Every way of paging against a real vendor, and what stops one that would never end (V07 to V09)."""

from collections.abc import Callable
from typing import Any

import pytest

from connectors.sdk import Checkpoint, ConnectorError, EgressError
from tests.connectors.sdk.manifests import CANARY, make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Sinkhole, Vendor

Start = Callable[[Any], Any]
SIZE = 3


class Lister:
    """A vendor's list of contacts, that can be paged in every way; `step` says what comes next."""

    def __init__(self, count: int) -> None:
        self.items = [{"id": f"c{number}", "email": f"c{number}@example.com"} for number in range(count)]

    def __call__(self, call: Call) -> Answer:
        query, origin = call.query, f"http://{call.headers['host']}"
        if "page" in query:
            at = (int(query["page"]) - 1) * SIZE
        else:
            at = int(query.get("cursor") or query.get("offset") or query.get("at") or 0)
        after = at + SIZE if at + SIZE < len(self.items) else None
        body: dict[str, Any] = {"data": self.items[at : at + SIZE], "total": len(self.items)}
        headers = {}
        if after is not None:
            url = f"{origin}/contacts?at={after}"
            body["paging"] = {"after": str(after), "next": url}
            first = f'<{origin}/contacts>; rel="first", <{origin}/contacts?at=0>; rel="prev"'
            headers = {"Next-Page": url, "Link": f'{first}, <{url}>; title="go on"; rel="next"'}
        return 200, headers, body


KINDS: dict[str, dict[str, Any]] = {
    "cursor": {"kind": "cursor", "parameter": "cursor", "path": "paging.after"},
    "page": {"kind": "page", "parameter": "page", "size": SIZE},
    "offset": {"kind": "offset", "parameter": "offset", "size": SIZE},
    "next_url": {"kind": "next_url", "path": "paging.next"},
    "link": {"kind": "link"},
    "header_url": {"kind": "header_url", "header": "Next-Page"},
}
BY_URL = ("next_url", "link", "header_url")


def read_all(vendor: Vendor, paging: dict[str, Any], **stream: Any) -> list[str]:
    """Read a stream to its end, each page with a new session and a checkpoint from the database, as workers do."""
    connector = make_connector(stream={"paging": paging, **stream})
    checkpoint, found = Checkpoint.start("full", None), []
    while True:
        session = make_session(connector, vendor.origin)
        page = connector.read(session, "contacts", Checkpoint.from_json(checkpoint.to_json()))
        session.http.close()
        found += [record.id for record in page.records]
        checkpoint = page.checkpoint
        if page.last:
            return found


@pytest.mark.parametrize("count", [0, 1, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_every_record_is_read_once(start: Start, kind: str, count: int) -> None:
    vendor = start(Vendor(Lister(count)))
    assert read_all(vendor, KINDS[kind]) == [f"c{number}" for number in range(count)]
    assert len(vendor.calls) <= count // SIZE + 1
    assert {call.headers["x-api-key"] for call in vendor.calls} == {CANARY}


def test_a_stream_without_paging_is_one_call(start: Start) -> None:
    vendor = start(Vendor(Lister(10)))
    assert read_all(vendor, {"kind": "none"}) == ["c0", "c1", "c2"]
    assert len(vendor.calls) == 1


@pytest.mark.parametrize("kind", ["cursor", "page", "offset"])
def test_the_size_is_asked_for_and_the_query_kept(start: Start, kind: str) -> None:
    vendor = start(Vendor(Lister(5)))
    request = {"path": "/contacts", "query": {"fields": "all"}}
    read_all(vendor, {**KINDS[kind], "size_parameter": "limit", "size": SIZE}, request=request)
    assert [(call.query["limit"], call.query["fields"]) for call in vendor.calls] == [("3", "all")] * 2


@pytest.mark.parametrize(("start_at", "asked"), [(1, ["1", "2"]), (0, ["0", "1"])])
def test_pages_are_counted_from_where_the_vendor_counts(start: Start, start_at: int, asked: list[str]) -> None:
    lister = Lister(5)

    def answer(call: Call) -> Answer:
        at = (int(call.query["page"]) - start_at) * SIZE
        return 200, {}, {"data": lister.items[at : at + SIZE]}

    vendor = start(Vendor(answer))
    assert len(read_all(vendor, {**KINDS["page"], "start": start_at})) == 5
    assert [call.query["page"] for call in vendor.calls] == asked


def test_a_pass_goes_on_where_it_stopped(start: Start) -> None:
    vendor = start(Vendor(Lister(10)))
    for kind in KINDS:
        connector = make_connector(stream={"paging": KINDS[kind]})
        session = make_session(connector, vendor.origin)
        first = connector.read(session, "contacts", Checkpoint.start("full", None))
        again = [connector.read(session, "contacts", first.checkpoint) for _ in range(2)]
        assert [[record.id for record in page.records] for page in again] == [["c3", "c4", "c5"]] * 2
        assert again[0].checkpoint == again[1].checkpoint
        assert not again[0].last


def endless(vendor: Vendor, paging: dict[str, Any]) -> ConnectorError:
    """Return the error that ends a paging without end."""
    with pytest.raises(ConnectorError) as caught:
        read_all(vendor, paging)
    assert caught.value.code == "paging_loop"
    assert caught.value.user_message
    assert caught.value.fix
    return caught.value


def pointing(step: Callable[[int], str], items: Callable[[int], list[dict[str, str]]]) -> Callable[[Call], Answer]:
    """Return a vendor's answer: at the n-th call the token and the items of n, in all the ways at once."""
    made = []

    def answer(call: Call) -> Answer:
        made.append(call)
        token = step(len(made))
        url = f"http://{call.headers['host']}/contacts?at={token}"
        body = {"data": items(len(made)), "paging": {"after": token, "next": url}}
        return 200, {"Next-Page": url, "Link": f"<{url}>; rel=next"}, body

    return answer


BY_TOKEN = ("cursor", *BY_URL)


@pytest.mark.parametrize("kind", BY_TOKEN)
def test_v07_always_a_new_cursor_and_never_a_record(start: Start, kind: str) -> None:
    vendor = start(Vendor(pointing(str, lambda _n: [])))
    endless(vendor, KINDS[kind])
    assert len(vendor.calls) == 3


@pytest.mark.parametrize("kind", BY_TOKEN)
def test_v07_no_more_pages_than_agreed(start: Start, kind: str) -> None:
    vendor = start(Vendor(pointing(str, lambda n: [{"id": f"c{n}"}])))
    endless(vendor, {**KINDS[kind], "max_pages": 7})
    assert len(vendor.calls) == 7


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_v07_full_pages_for_ever(start: Start, kind: str) -> None:
    count = 0

    def answer(_call: Call) -> Answer:
        nonlocal count
        count += SIZE
        return 200, {}, {"data": [{"id": f"c{count + n}"} for n in range(SIZE)]}

    vendor = start(Vendor(answer))
    endless(vendor, {**KINDS[kind], "max_pages": 5})
    assert len(vendor.calls) == 5


def test_v07_a_few_empty_pages_are_no_loop(start: Start) -> None:
    items = {1: ["a"], 2: [], 3: [], 4: ["b"], 5: [], 6: ["c"]}

    def answer(call: Call) -> Answer:
        number = int(call.query.get("cursor", "1"))
        after = str(number + 1) if number < 6 else None
        return 200, {}, {"data": [{"id": found} for found in items[number]], "paging": {"after": after}}

    assert read_all(start(Vendor(answer)), KINDS["cursor"]) == ["a", "b", "c"]


@pytest.mark.parametrize("kind", BY_TOKEN)
@pytest.mark.parametrize(("ring", "calls"), [("A", 2), ("AB", 3), ("ABCDE", 6)])
def test_v08_a_ring_of_cursors_ends_at_the_first_repeat(start: Start, kind: str, ring: str, calls: int) -> None:
    vendor = start(Vendor(pointing(lambda n: ring[(n - 1) % len(ring)], lambda n: [{"id": f"c{n}"}])))
    endless(vendor, KINDS[kind])
    assert len(vendor.calls) == calls


@pytest.mark.parametrize("kind", BY_TOKEN)
def test_v09_the_same_page_under_new_cursors(start: Start, kind: str) -> None:
    vendor = start(Vendor(pointing(str, lambda _n: [{"id": "a"}, {"id": "b"}])))
    endless(vendor, KINDS[kind])
    assert len(vendor.calls) == 2


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_v09_a_vendor_that_does_not_know_the_parameter(start: Start, kind: str) -> None:
    vendor = start(Vendor(lambda _call: (200, {}, {"data": [{"id": f"c{n}"} for n in range(SIZE)]})))
    endless(vendor, KINDS[kind])
    assert len(vendor.calls) == 2


@pytest.mark.parametrize("kind", BY_URL)
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "https://127.0.0.1/", "http://127.0.0.2:{port}/", "https://evil.example/", "ftp://x/", "x y"],
)  # fmt: skip
def test_s10_a_next_page_elsewhere_is_not_read(start: Start, kind: str, url: str) -> None:
    inside = start(Sinkhole())
    place = url.replace("{port}", str(inside.port))
    headers = {"Next-Page": place, "Link": f"<{place}>; rel=next"}
    vendor = start(Vendor(lambda _call: (200, headers, {"data": [{"id": "a"}], "paging": {"next": place}})))
    with pytest.raises(EgressError):
        read_all(vendor, KINDS[kind])
    assert len(vendor.calls) == 1
    assert inside.connections() == 0
