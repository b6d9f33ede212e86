"""Reading beyond one list: caps, windows, newest first, other requests for changes, conditions, events, cursor forms."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.sdk import Checkpoint, ConnectorError, cursors
from connectors.sdk.contract import Connector
from connectors.sdk.schema.streams import Incremental
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Vendor

Start = Callable[[Any], Any]
BASE = datetime(2026, 1, 1, tzinfo=UTC)


def stamp(seconds: float) -> str:
    """Return a time so many seconds after the base."""
    return cursors.iso(BASE + timedelta(seconds=seconds))


def read_pass(connector: Connector, vendor: Vendor, since: str | None, **settings: Any) -> tuple[list[str], str | None]:
    """Read a pass to its end, each checkpoint through JSON as a row would; return ids and the next cursor."""
    session = make_session(connector, vendor.origin, **settings)
    at = Checkpoint.start("incremental" if since else "full", since)
    seen: list[str] = []
    for _ in range(2000):
        page = connector.read(session, "contacts", at)
        seen += [record.id for record in page.records] + [f"-{gone}" for gone in page.deleted]
        at = Checkpoint.from_json(orjson.loads(orjson.dumps(page.checkpoint.to_json())))
        if page.last:
            return seen, connector.next_since("contacts", at)
    raise AssertionError("the pass does not end")


class Search:
    """A search by time, oldest first, that stops after `cap` items whatever there is (HubSpot's stops at 10,000)."""

    def __init__(self, times: list[float], cap: int, size: int) -> None:
        self.items = [{"id": f"c{n}", "at": stamp(t), "email": f"c{n}@x.example"} for n, t in enumerate(times)]
        self.cap, self.size = cap, size

    def __call__(self, call: Call) -> Answer:
        asked = orjson.loads(call.body)
        start, after = asked["since"], int(asked.get("after") or 0)
        found = sorted((item for item in self.items if item["at"] >= start), key=lambda item: (item["at"], item["id"]))
        if after + self.size > self.cap:
            return 400, {}, {"message": "beyond the cap"}
        more = after + self.size < len(found)
        return 200, {}, {"data": found[after : after + self.size], "next": str(after + self.size) if more else None}


def _searching(cap: int, size: int) -> Connector:
    return make_connector(stream={"incremental": {
        "field": "at", "format": "iso_ms", "cap": cap, "order": "oldest", "lookback_seconds": 0,
        "request": {"method": "POST", "path": "/search", "body": {"since": "{since}"}},
        "paging": {"kind": "cursor", "parameter": "after", "place": "body", "path": "next", "size": size},
    }})  # fmt: skip


@pytest.mark.parametrize("count", [99, 100, 101, 1000, 2503])
def test_a_search_that_stops_at_its_cap_loses_nothing(start: Start, count: int) -> None:
    """Red without the new window: everything after the cap is missing. Three records a second cross window edges."""
    vendor = start(Vendor(Search([n // 3 for n in range(count)], cap=100, size=10)))
    seen, following = read_pass(_searching(100, 10), vendor, stamp(-1))
    assert set(seen) == {f"c{n}" for n in range(count)}
    assert following == stamp((count - 1) // 3)
    print(f"\nCAP 100 RECORDS {count} LOST {count - len(set(seen))} CALLS {len(vendor.calls)}")


def test_more_equal_times_than_the_cap_stop_with_a_reason(start: Start) -> None:
    vendor = start(Vendor(Search([5.0] * 150, cap=100, size=10)))
    with pytest.raises(ConnectorError) as caught:
        read_pass(_searching(100, 10), vendor, stamp(5))
    assert caught.value.code == "window_stuck"


def test_time_is_read_in_step_windows(start: Start) -> None:
    items = [{"id": f"c{n}", "at": cursors.iso(datetime.now(UTC) - timedelta(hours=60 - n))} for n in range(60)]

    def answer(call: Call) -> Answer:
        first, last = call.query["from"], call.query.get("to", "9999")
        assert last == "9999" or cursors.moment(last, Incremental(kind="etag")) - cursors.moment(  # type: ignore[operator]
            first, Incremental(kind="etag")
        ) == timedelta(hours=6)
        return 200, {}, {"data": [item for item in items if first <= item["at"] < last]}

    vendor = start(Vendor(answer))
    cursor = {"field": "at", "parameter": "from", "until_parameter": "to", "step_seconds": 21600}
    seen, _ = read_pass(make_connector(stream={"incremental": cursor}), vendor, items[0]["at"])
    assert sorted(set(seen)) == sorted(item["id"] for item in items)
    assert 9 < len(vendor.calls) < 13


def test_a_feed_that_starts_with_the_newest_is_read_to_what_is_known(start: Start) -> None:
    items = [{"id": f"c{n}", "at": stamp(n)} for n in range(99, -1, -1)]

    def answer(call: Call) -> Answer:
        at = int(call.query.get("offset", 0))
        return 200, {}, {"data": items[at : at + 10]}

    vendor = start(Vendor(answer))
    paging = {"kind": "offset", "parameter": "offset", "size": 10}
    cursor = {"field": "at", "order": "newest", "lookback_seconds": 0}
    seen, following = read_pass(make_connector(stream={"incremental": cursor, "paging": paging}), vendor, stamp(75))
    assert {f"c{n}" for n in range(75, 100)} <= set(seen)
    assert len(vendor.calls) == 3
    # What comes in while the feed is read stands before its first page: the next pass goes back to this one's start.
    assert following is not None
    assert following >= stamp(99)


def test_changes_through_events_hold_the_record_inside(start: Start) -> None:
    """As Stripe's: the list shows what is there, the events what became of it, the newest last."""
    events = [
        {"id": "e1", "type": "contact.updated", "created": 1767225600, "data": {"object": {"id": "c1", "email": "new@x.example"}}},
        {"id": "e2", "type": "contact.deleted", "created": 1767225700, "data": {"object": {"id": "c2"}}},
        {"id": "e3", "type": "other.updated", "created": 1767225800, "data": {"object": {"id": "o1"}}},
    ]  # fmt: skip

    def answer(call: Call) -> Answer:
        if call.path == "/contacts":
            return 200, {}, {"data": [{"id": "c1"}, {"id": "c2"}], "more": False}
        assert call.query["created"] == "1767225300"
        return 200, {}, {"data": events, "more": False}

    vendor = start(Vendor(answer))
    connector = make_connector(stream={
        "paging": {"kind": "last_id", "parameter": "after", "more": "more"},
        "incremental": {
            "field": "created", "format": "epoch_s", "parameter": "created", "item": "data.object",
            "request": {"path": "/events"}, "deleted": {"path": "type", "equals": "contact.deleted"},
            "where": [{"path": "type", "one_of": ["contact.updated", "contact.deleted"]}],
        },
    })  # fmt: skip
    assert read_pass(connector, vendor, None)[0] == ["c1", "c2"]
    seen, following = read_pass(connector, vendor, cursors.earlier(stamp(0), 300))
    assert seen == ["c1", "-c2"]
    assert following == cursors.earlier(stamp(200), 300)


def test_conditions_added_and_removed_fields(start: Start) -> None:
    items = [
        {"id": 1, "email": "a@x.example", "seen": {"at": 1, "by": "x"}}, {"id": 2, "pull": {}, "email": "b@x.example"},
    ]  # fmt: skip
    vendor = start(Vendor(lambda _call: (200, {}, {"data": items})))
    connector = make_connector(stream={
        "where": [{"path": "pull", "exists": False}], "remove": ["seen.at", "none.such"],
        "add": {"source": "{stream}", "copy": "{record.email}"},
    })  # fmt: skip
    page = connector.read(make_session(connector, vendor.origin), "contacts", Checkpoint.start("full", None))
    assert [record.data for record in page.records] == [
        {"id": 1, "email": "a@x.example", "seen": {"by": "x"}, "source": "contacts", "copy": "a@x.example"}
    ]
    assert items[0]["seen"] == {"at": 1, "by": "x"}


@pytest.mark.parametrize(
    ("form", "more", "sent"),
    [
        ("iso", {}, "2026-01-01T00:00:00.250000Z"), ("iso_ms", {}, "2026-01-01T00:00:00.250Z"),
        ("date", {}, "2026-01-01"), ("epoch_s", {}, "1767225600"), ("epoch_ms", {}, "1767225600250"),
        ("custom", {"pattern": "%Y-%m-%d %H:%M:%S"}, "2026-01-01 00:00:00"),
    ],
)  # fmt: skip
def test_forms_of_cursors(form: str, more: dict[str, Any], sent: str) -> None:
    cursor = Incremental.model_validate({"field": "at", "format": form, **more})
    assert cursors.render(stamp(0.25), cursor) == sent
    assert cursors.moment(sent, cursor) is not None


@pytest.mark.parametrize("value", ["soon", {}, None, True, [], "2026-13-40", 1e300, ""])
def test_what_is_no_time_moves_no_cursor(value: Any) -> None:
    cursor = Incremental(field="at")
    assert cursors.newest([value, stamp(5)], stamp(1), cursor) in (
        stamp(5),
        cursors.iso(datetime.fromtimestamp(1, UTC)),
    )
    assert cursors.moment(value, cursor) is None or value is True


def test_lookback_follows_the_precision() -> None:
    days = {form: Incremental(field="at", format=form).lookback for form in ("date", "iso", "epoch_ms", "text")}  # type: ignore[arg-type]
    assert days == {"date": 86_400, "iso": 300, "epoch_ms": 300, "text": 0}
