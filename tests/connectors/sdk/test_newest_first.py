"""Feeds of events that start with the newest: each record once as it is now, and no trust in a cursor that is too old."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.sdk import Checkpoint, Connector, CursorExpiredError, Page
from tests.connectors.sdk.manifests import make_connector, make_session
from tests.connectors.sdk.servers import Answer, Call, Vendor

Start = Callable[[Any], Any]
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
SINCE = "2026-11-24T08:00:00Z"


def connector(**more: Any) -> Connector:
    """Return one that learns of changes from a feed of events, two a page."""
    feed = {
        "field": "at", "order": "newest", "request": {"path": "/events"}, "item": "contact", "keeps_days": 30,
        "deleted": {"path": "kind", "equals": "gone"}, "where": [{"path": "kind", "none_of": ["seen"]}],
        "paging": {"kind": "last_id", "parameter": "after", "path": "event", "size": 2}, **more,
    }  # fmt: skip
    return make_connector(stream={"incremental": feed})


def feed(*events: tuple[str, str, str]) -> Callable[[Call], Answer]:
    """Return a vendor with these events (kind, contact, name), the newest first, a minute apart."""
    items = [
        {
            "event": str(n),
            "kind": kind,
            "at": f"2026-11-24T08:{58 - n:02}:00Z",
            "contact": {"id": contact, "name": name},
        }
        for n, (kind, contact, name) in enumerate(events)
    ]

    def answer(call: Call) -> Answer:
        at = int(call.query.get("after", "-1")) + 1
        return 200, {"Date": "Tue, 24 Nov 2026 09:00:00 GMT"}, {"data": items[at : at + 2]}

    return answer


def read(asked: Connector, origin: str, since: str = SINCE) -> list[Page]:
    """Return the pages of a pass from a cursor on."""
    session = replace(make_session(asked, origin), now=lambda: NOW)
    at, pages = Checkpoint.start("incremental", since), []
    while not pages or not pages[-1].last:
        pages.append(asked.read(session, "contacts", at))
        at = Checkpoint.from_json(pages[-1].checkpoint.to_json())
    return pages


def test_only_the_newest_of_a_record_counts_on_whatever_page(start: Start) -> None:
    vendor = start(
        Vendor(
            feed(
                ("set", "a", "new"), ("set", "a", "older"), ("gone", "b", ""), ("set", "c", "c"), ("set", "b", "older"),
                ("set", "a", "oldest"), ("gone", "c", ""),
            )
        )
    )  # fmt: skip
    pages = read(connector(), vendor.origin)
    assert [(r.id, r.data["name"]) for page in pages for r in page.records] == [("a", "new"), ("c", "c")]
    assert [gone for page in pages for gone in page.deleted] == ["b"]
    assert len(vendor.calls) == 4


def test_an_event_that_is_left_out_hides_none(start: Start) -> None:
    vendor = start(Vendor(feed(("seen", "a", "x"), ("set", "a", "right"))))
    assert [r.data["name"] for page in read(connector(), vendor.origin) for r in page.records] == ["right"]


def test_the_next_cursor_is_the_time_of_the_pass(start: Start) -> None:
    vendor = start(Vendor(feed(("set", "a", "x"))))
    asked = connector(lookback_seconds=60)
    assert asked.next_since("contacts", read(asked, vendor.origin)[-1].checkpoint) == "2026-11-24T08:59:00Z"
    # After a quiet pass too, or the cursor would grow old by itself.
    quiet = start(Vendor(feed()))
    assert asked.next_since("contacts", read(asked, quiet.origin)[-1].checkpoint) == "2026-11-24T08:59:00Z"


@pytest.mark.parametrize(("since", "expired"), [("2026-10-25T09:00:01Z", False), ("2026-10-25T08:59:59Z", True)])
def test_a_cursor_older_than_the_feed_is_refused(start: Start, since: str, expired: bool) -> None:
    vendor = start(Vendor(feed()))
    if not expired:
        assert read(connector(), vendor.origin, since)[-1].last
        return
    with pytest.raises(CursorExpiredError):
        read(connector(), vendor.origin, since)
    assert vendor.calls == []


def test_a_checkpoint_of_an_older_version_is_read(start: Start) -> None:
    kept = Checkpoint.start("incremental", SINCE).to_json()
    del kept["shown"]
    assert Checkpoint.from_json(kept).shown == ()
