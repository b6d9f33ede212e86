"""What a dry run tells of a stream that it has read in part, or not at all."""

from typing import Any

import pytest

from app.models.installations import InstallationStream
from app.services.dry_run_report import report
from app.services.dry_run_state import State, StreamState
from app.services.dry_run_tally import Tally
from app.services.page_context import Counts


def told(state: StreamState, direction: str = "both") -> dict[str, Any]:
    installed = InstallationStream(stream=state.stream, direction=direction, delete_policy="mirror")
    return report([(state, installed)])


def part(**more: Any) -> StreamState:
    tally = Tally(
        Counts(read=100, created=40, linked=50, filtered=10, outgoing=5), matched=50, changed=20, idle=30,
        there={"only_here": 200, "looked_at": 100, "create": 80, "change": 5},
    )  # fmt: skip
    return StreamState("contacts", "Contacts", "contact", "done", ended="records", tally=tally, **more)


def test_of_a_part_the_totals_are_what_is_expected_of_all() -> None:
    result = told(part(total=300))
    (stream,) = result["streams"]
    assert stream["into"] == {
        "read": 100, "create": 40, "link": 50, "change": 20, "unchanged": 30, "conflict": 0, "left_out": 10, "delete": None,
    }  # fmt: skip
    # Of 200 that only the host has, 160 would be created; 100 more of them are expected to be joined.
    assert (stream["there"]["create"], stream["expected"]["there"]["create"]) == (160, 80)
    assert (result["totals"]["created"], result["totals"]["changed"], result["totals"]["there"]) == (120, 60, 95)
    assert result["totals"]["guessed"]
    assert stream["promise"]["linked"] == [50, 250]


def test_where_nobody_says_how_many_there_are_there_is_no_guess_and_no_promise() -> None:
    (stream,) = told(part())["streams"]
    assert (stream["total"], stream["expected"], stream["promise"]) == (None, None, None)


def test_a_stream_that_only_flows_in_says_nothing_of_the_other_side() -> None:
    result = told(part(total=100), "in")
    assert result["streams"][0]["there"] is None
    assert not result["totals"]["flows_out"]
    assert set(result["streams"][0]["promise"]) == {"created", "linked", "updated", "conflicts"}


def test_a_stream_that_may_not_be_read_counts_for_nothing() -> None:
    result = told(part(total=300, error="It may not be read."))
    assert result["totals"]["created"] == 0
    assert result["streams"][0]["promise"] is None


@pytest.mark.parametrize("ended", ["", "all"])
def test_what_is_kept_is_what_is_read_back(ended: str) -> None:
    state = State([part(total=300)], tries=2)
    state.streams[0].ended = ended
    assert State.from_json(state.to_json()) == state


def test_equal_causes_are_one_with_the_value_taken_out() -> None:
    tally = Tally()
    for n in range(12):
        tally.leave_out("mapping", "email", f"E-mail: “x{n}” is not an e-mail address.", str(n), f"Ada {n}")
    tally.leave_out("filter", None, "Country is not Germany", "a", "")
    first, second = tally.causes.values()
    assert (first["count"], first["message"], len(first["samples"])) == (
        12,
        "E-mail: the value is not an e-mail address.",
        5,
    )
    assert second["samples"] == [{"id": "a", "title": "a", "message": "Country is not Germany"}]
