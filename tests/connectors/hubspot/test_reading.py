"""Reading: nothing is lost at the search's cap, between equal times, while records change, or to a late index."""

from collections import Counter

import orjson
import pytest

from connectors.sdk import Checkpoint, Connector, ConnectorError, External, Session, canonical, manifest_from_json
from tests.connectors.hubspot.cases import SINCE
from tests.connectors.hubspot.sessions import here, session_at
from tests.connectors.hubspot.vendor import BASE, CAP, SEARCH_SIZE, HubSpot


def read(session: Session, at: Checkpoint, connector: Connector | None = None) -> tuple[list[External], Checkpoint]:
    """Return the records of a pass over contacts, and where it ended; its checkpoint goes through JSON at each page."""
    connector, found = connector or here(), []
    while True:
        page = connector.read(session, "contacts", Checkpoint.from_json(at.to_json()))
        found += page.records
        at = page.checkpoint
        if page.last:
            return found, at


def changes(session: Session, since: str | None = SINCE) -> tuple[list[External], str | None]:
    """Return the records of an incremental pass and where the next one starts."""
    found, at = read(session, Checkpoint.start("incremental", since))
    return found, here().next_since("contacts", at)


def fill(hubspot: HubSpot, count: int, each: int = 1) -> None:
    """Add contacts, so many of them changed in the same millisecond."""
    for number in range(count):
        hubspot.add("contacts", changed=BASE + number // each, email=f"c{number}@example.test")
    hubspot.clock = BASE + 600_000


def windowed() -> Connector:
    """Return the connector as the sdk's way over a cap would have it: sorted by time, windows at the cap."""
    data = orjson.loads(canonical(here().manifest))
    cursor = data["streams"][0]["incremental"]
    cursor |= {"cap": CAP, "paging": {"kind": "cursor", "parameter": "after", "path": "paging.next.after", "place": "body", "size_parameter": "limit", "size": SEARCH_SIZE}}  # fmt: skip
    cursor["request"]["body"]["sorts"] = ["lastmodifieddate"]
    return Connector(manifest_from_json(data))


def test_25_000_changes_beyond_a_cap_of_10_000(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 25_000)
    found, since = changes(session_at(origin))
    assert Counter(record.id for record in found) == Counter(str(n) for n in hubspot.records["contacts"])
    assert len(found) == 25_000
    assert hubspot.searches == 125
    assert since == "2026-11-23T23:59:24.999000Z"  # The newest change, and a minute back.


def test_the_vendor_does_refuse_what_is_beyond_the_cap(hubspot: HubSpot, origin: str) -> None:
    body = {"filterGroups": [], "sorts": ["hs_object_id"], "properties": [], "limit": SEARCH_SIZE}
    fill(hubspot, 10_300)
    statuses = [hubspot._search("contacts", {**body, "after": str(after)})[0] for after in (0, 9_800, 9_801, 10_000)]
    assert statuses == [200, 200, 400, 400]


@pytest.mark.parametrize("each", [150, 200, 201, 700, 10_050])
def test_equal_times_across_the_edges_of_pages_and_cap(hubspot: HubSpot, origin: str, each: int) -> None:
    fill(hubspot, 10_500, each)
    found, _ = changes(session_at(origin))
    assert len(found) == 10_500
    assert {record.id for record in found} == {str(n) for n in hubspot.records["contacts"]}


@pytest.mark.parametrize("each", [1, 700])
def test_windows_by_time_are_whole_too(hubspot: HubSpot, origin: str, each: int) -> None:
    fill(hubspot, 25_000, each)
    found, _ = read(session_at(origin), Checkpoint.start("incremental", SINCE), windowed())
    assert {record.id for record in found} == {str(n) for n in hubspot.records["contacts"]}
    assert 25_000 <= len(found) <= 25_000 + 3 * each


def test_windows_by_time_stop_at_more_equal_times_than_the_cap(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 10_500, 10_300)
    with pytest.raises(ConnectorError) as caught:
        read(session_at(origin), Checkpoint.start("incremental", SINCE), windowed())
    assert caught.value.code == "window_stuck"
    assert len(changes(session_at(origin))[0]) == 10_500


def busy(hubspot: HubSpot) -> None:
    """Before each search, change a record that is still to come and one that was read."""

    def change(search: int) -> None:
        for record_id in (101 + 10 * search, 101 + 2_000 - 10 * search):
            hubspot.change("contacts", record_id, firstname=f"changed before search {search}")

    hubspot.before = change


def seen(passes: list[list[External]]) -> dict[str, str | None]:
    """Return the last version of each record that was read."""
    return {record.id: record.version for found in passes for record in found}


def truth(hubspot: HubSpot, session: Session) -> dict[str, str | None]:
    """Return the version of each record as it is now."""
    hubspot.before = None
    return {str(i): here().fetch(session, "contacts", str(i)).version for i in hubspot.records["contacts"]}  # type: ignore[union-attr]  # all are there


def test_records_that_change_while_they_are_read_are_all_seen(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 2_000)
    busy(hubspot)
    session = session_at(origin)
    first, since = changes(session)
    assert len(first) == len({record.id for record in first}) == 2_000
    second, _ = changes(session, since)
    assert seen([first, second]) == truth(hubspot, session)


def test_pages_by_offset_would_lose_some(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 2_000)
    busy(hubspot)
    found, _ = read(session_at(origin), Checkpoint.start("incremental", SINCE), windowed())
    assert len({record.id for record in found}) < 2_000


def test_what_changes_behind_a_full_pass_is_read_by_the_next_one(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 450)
    session = session_at(origin)
    at, found = Checkpoint.start("full", None), []
    while True:
        page = here().read(session, "contacts", at)
        found += page.records
        at = page.checkpoint
        if page.checkpoint.page == 1:
            hubspot.change("contacts", 101, firstname="behind")
            hubspot.clock += 600_000
            hubspot.change("contacts", 540, firstname="ahead")
        if page.last:
            break
    assert len(found) == 450
    assert {r.id for r in changes(session, here().next_since("contacts", at))[0]} >= {"101", "540"}


def test_a_record_that_the_index_shows_late_is_read_by_the_next_pass(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 300)
    late = hubspot.records["contacts"].pop(150)  # Changed 50 ms after the first one; the search does not show it yet.
    session = session_at(origin)
    first, since = changes(session)
    hubspot.records["contacts"][150] = late
    second, _ = changes(session, since)
    assert "150" not in {record.id for record in first}
    assert "150" in {record.id for record in second}


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_a_full_pass_reads_live_records_once(hubspot: HubSpot, origin: str, count: int) -> None:
    fill(hubspot, count)
    for record_id in (103, 150):
        if record_id in hubspot.records["contacts"]:
            hubspot.records["contacts"][record_id].archived = True
    found, _ = read(session_at(origin), Checkpoint.start("full", None))
    live = [str(n) for n, record in hubspot.records["contacts"].items() if not record.archived]
    assert [record.id for record in found] == live


def test_an_archived_record_is_gone(hubspot: HubSpot, origin: str) -> None:
    fill(hubspot, 2)
    hubspot.records["contacts"][101].archived = True
    session = session_at(origin)
    assert here().fetch(session, "contacts", "101") is None
    assert here().fetch(session, "contacts", "102") is not None
    assert here().fetch(session, "contacts", "999") is None
