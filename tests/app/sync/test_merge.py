"""The three-way merge, field by field (D04, D05, D14)."""

from typing import Any

import pytest

from app.sync.merge import Clash, Directions, merge, unsent

BOTH = Directions(frozenset({"a", "b"}), frozenset({"a", "b"}), "ask")


def policy(name: str, **of: Any) -> Directions:
    return Directions(BOTH.incoming, BOTH.outgoing, name, of)  # type: ignore[arg-type]


def test_different_fields_changed_on_each_side_are_both_kept() -> None:
    merged = merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 2}, BOTH)
    assert (merged.values, merged.clashes) == ({"a": 2, "b": 2}, ())
    assert unsent(merged.values, merged.base, BOTH.outgoing) == ["a"]


def test_the_same_change_on_both_sides_settles() -> None:
    merged = merge({"a": 1}, {"a": 2}, {"a": 2}, BOTH)
    assert (merged.values, merged.base, merged.clashes) == ({"a": 2}, {"a": 2}, ())


@pytest.mark.parametrize(
    ("how", "value", "base", "sent"),
    [("theirs", 3, 3, []), ("ours", 2, 3, ["a"]), ("ask", 2, 1, ["a"])],
)
def test_a_clash_goes_by_the_policy_and_keeps_all_three(how: str, value: int, base: int, sent: list[str]) -> None:
    merged = merge({"a": 1}, {"a": 2}, {"a": 3}, policy(how))
    winner = None if how == "ask" else how
    assert merged.clashes == (Clash("a", 1, 2, 3, how, winner),)  # type: ignore[arg-type]
    assert (merged.values["a"], merged.base["a"]) == (value, base)
    assert unsent(merged.values, merged.base, BOTH.outgoing) == sent


def test_a_field_may_have_a_policy_of_its_own() -> None:
    merged = merge({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 3}, policy("theirs", b="ours"))
    assert merged.values == {"a": 3, "b": 2}


def test_the_newest_side_wins_only_where_it_is_known() -> None:
    newest = policy("newest")
    assert merge({"a": 1}, {"a": 2}, {"a": 3}, newest, newer="theirs").values == {"a": 3}
    assert merge({"a": 1}, {"a": 2}, {"a": 3}, newest, newer="ours").values == {"a": 2}
    assert merge({"a": 1}, {"a": 2}, {"a": 3}, newest).clashes[0].winner is None


def test_at_the_first_meeting_an_empty_side_takes_the_others_value() -> None:
    merged = merge({}, {"a": 1, "b": None}, {"a": None, "b": 2}, BOTH)
    assert (merged.values, merged.clashes) == ({"a": 1, "b": 2}, ())
    assert unsent(merged.values, merged.base, BOTH.outgoing) == ["a"]


def test_an_emptied_field_is_a_change_like_any_other() -> None:
    assert merge({"a": 1}, {"a": 1}, {"a": None}, BOTH).values == {"a": None}
    assert merge({"a": 1}, {"a": None}, {"a": 1}, BOTH).values == {"a": None}


def test_a_field_that_only_flows_out_takes_nothing_in_and_is_written_again() -> None:
    out = Directions(frozenset(), frozenset({"a"}))
    merged = merge({"a": 1}, {"a": 1}, {"a": 2}, out)
    assert (merged.values, merged.clashes[0].winner) == ({"a": 1}, "ours")
    assert unsent(merged.values, merged.base, out.outgoing) == ["a"]


def test_an_empty_field_does_not_wipe_what_the_other_side_had_before_we_met() -> None:
    out = Directions(frozenset(), frozenset({"a"}))
    merged = merge({}, {"a": None}, {"a": 2}, out)
    assert unsent(merged.values, merged.base, out.outgoing) == []
    assert "a" not in merged.base  # So the first write of it looks before.


def test_a_side_that_has_nothing_gives_way_without_a_word() -> None:
    out = Directions(frozenset(), frozenset({"a"}))
    assert merge({}, {"a": 1}, {"a": None}, out).clashes == ()


def test_our_own_write_coming_back_is_no_change() -> None:
    merged = merge({"a": 1}, {"a": 3}, {"a": 2}, BOTH, echoed={"a"})
    assert (merged.values, merged.base, merged.clashes) == ({"a": 3}, {"a": 2}, ())


def test_what_the_mapping_no_longer_names_is_no_longer_agreed_on() -> None:
    assert merge({"a": 1, "old": 5}, {"a": 1, "old": 5}, {"a": 1}, BOTH).base == {"a": 1}


def test_merging_what_was_merged_changes_nothing() -> None:
    first = merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 4}, policy("theirs"))
    again = merge(first.base, first.values, {"a": 3, "b": 4}, policy("theirs"))
    assert (again.values, again.base, again.clashes) == (first.values, first.base, ())
