"""A row of the mapping editor, as it is sent, and what it means."""

from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from app.forms.installations import read_streams
from app.forms.mappings import added_step, read_row
from connectors.sdk import Rule, Transform

TRIM, LOWER = Transform("trim"), Transform("case", {"to": "lower"})
JOIN = Transform("concat", {"separator": " "})
CITY = Rule("city", ("a",), (TRIM, LOWER), direction="both", default="Berlin", required=True)


def sent(*pairs: tuple[str, str]) -> Any:
    return MultiDict(pairs)


def test_a_direction_changes_nothing_else() -> None:
    found = read_row("city", sent(("do", "direction-in"), ("source", "b")), CITY)
    assert found.rule == Rule("city", ("a",), (TRIM, LOWER), default="Berlin", required=True)


def test_removed_it_is_no_rule() -> None:
    assert read_row("city", sent(("do", "remove"), ("source", "a")), CITY).rule is None


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (("later",), (LOWER, TRIM)),
        (("earlier",), (TRIM, LOWER)),
        (("drop",), (LOWER,)),
        (("save",), (TRIM, LOWER)),
    ],
)
def test_the_first_step_is_moved_and_taken_away(pairs: tuple[str], expected: tuple[Transform, ...]) -> None:
    found = read_row("city", sent(("part", "step-0"), ("do", pairs[0])), CITY)
    assert found.rule is not None
    assert found.rule.transforms == expected


def test_a_step_that_is_not_there_is_left_alone() -> None:
    for part in ("step-7", "step--1", "step-x"):
        assert read_row("city", sent(("part", part), ("do", "drop")), CITY).rule == CITY


def test_settings_of_a_step_are_read_by_their_kind() -> None:
    rule = Rule("city", ("a",), (Transform("split", {"separator": " ", "index": 0}),))
    pairs = (("part", "step-0"), ("arg-separator", ","), ("arg-index", "-1"))
    found = read_row("city", sent(*pairs), rule)
    assert found.rule is not None
    assert found.rule.transforms == (Transform("split", {"separator": ",", "index": -1}),)


def test_a_setting_that_is_no_number_is_told_and_kept_as_typed() -> None:
    rule = Rule("city", ("a",), (Transform("split", {"separator": " ", "index": 0}),))
    found = read_row("city", sent(("part", "step-0"), ("arg-index", "last")), rule)
    assert found.errors == {"arg-index": "Give a whole number."}
    assert found.typed["arg-index"] == "last"


def test_a_setting_that_is_needed_is_told() -> None:
    rule = Rule("city", ("a",), (Transform("replace", {"old": "a", "new": "b"}),))
    found = read_row("city", sent(("part", "step-0"), ("arg-old", ""), ("arg-new", "")), rule)
    assert found.errors == {"arg-old": "“Replace” is missing."}


def test_a_table_is_read_pair_by_pair_and_empty_lines_are_none() -> None:
    rule = Rule("stage", ("a",), (Transform("value_table", {"table": {"x": "y"}}),))
    pairs = [("arg-table-theirs", t) for t in ("new", "old", "", "gone")]
    pairs += [("arg-table-ours", o) for o in ("lead", "", "customer", "other")]
    found = read_row("stage", sent(("part", "step-0"), *pairs), rule)
    assert found.rule is not None
    assert found.rule.transforms[0].args["table"] == {"new": "lead", "gone": "other"}


def test_several_fields_are_joined_and_a_single_one_is_not() -> None:
    many = read_row("city", sent(("part", "row"), ("settings", "1"), ("source", "a"), ("source", "b")), CITY)
    assert many.rule is not None
    assert (many.rule.sources, many.rule.transforms) == (("a", "b"), (JOIN, TRIM, LOWER))
    one = read_row("city", sent(("part", "row"), ("settings", "1"), ("source", "a"), ("source", "")), many.rule)
    assert one.rule is not None
    assert (one.rule.sources, one.rule.transforms) == (("a",), (TRIM, LOWER))


def test_ten_fields_may_be_joined_and_one_twice_is_one() -> None:
    names = [f"f{number}" for number in range(10)]
    found = read_row("city", sent(*(("source", name) for name in (*names, "f3", ""))), None)
    assert found.rule is not None
    assert found.rule.sources == tuple(names)


def test_the_rest_of_a_row() -> None:
    pairs = (
        ("part", "row"),
        ("settings", "1"),
        ("source", "a"),
        ("default", " "),
        ("on_error", "skip_field"),
        ("conflict", "ours"),
    )
    found = read_row("city", sent(*pairs), CITY)
    assert found.rule == Rule("city", ("a",), (TRIM, LOWER), "both", on_error="skip_field", conflict="ours")
    strange = read_row("city", sent(("settings", "1"), ("source", "a"), ("conflict", "nobody")), CITY)
    assert strange.rule is not None
    assert strange.rule.conflict is None


def test_no_field_and_no_default_maps_nothing_but_a_fixed_value_does() -> None:
    assert read_row("city", sent(("settings", "1"), ("source", ""), ("default", "")), CITY).rule is None
    fixed = read_row("city", sent(("settings", "1"), ("source", ""), ("default", "Oslo")), CITY)
    assert fixed.rule is not None
    assert (fixed.rule.sources, fixed.rule.default) == ((), "Oslo")


def test_a_new_step_goes_last_a_join_first_and_its_settings_open() -> None:
    found = read_row("city", sent(("part", "add"), ("add", "split")), CITY)
    assert found.rule is not None
    assert [step.name for step in found.rule.transforms] == ["trim", "case", "split"]
    assert added_step(found.rule, "split") == 2
    assert added_step(found.rule, "trim") is None
    assert read_row("city", sent(("part", "add"), ("add", "nonsense")), CITY).rule == CITY
    table = read_row("city", sent(("part", "add"), ("add", "value_table")), CITY)
    assert table.rule is not None
    assert table.rule.transforms[-1].args["table"] == {}


def test_streams_are_read_with_their_filters() -> None:
    pairs = (
        ("streams", "contacts"), ("direction-contacts", "both"), ("conflict-contacts", "ours"), ("deletes-contacts", "archive"),
        ("filter-contacts-mode", "include"), ("filter-contacts-field", "city"), ("filter-contacts-op", "one_of"),
        ("filter-contacts-value", "Berlin, Paris ,"),
        ("filter-contacts-mode", "exclude"), ("filter-contacts-field", "phone"), ("filter-contacts-op", "is_empty"),
        ("filter-contacts-value", "x"),
        ("filter-contacts-mode", "include"), ("filter-contacts-field", ""), ("filter-contacts-op", "is"),
        ("filter-contacts-value", "never"),
    )  # fmt: skip
    found = read_streams(sent(*pairs), ["contacts", "deals"])
    assert (found["deals"].enabled, found["deals"].direction) == (False, "in")
    contacts = found["contacts"]
    assert (contacts.enabled, contacts.direction, contacts.conflict_policy, contacts.delete_policy) == (
        True, "both", "ours", "archive",
    )  # fmt: skip
    assert contacts.stored == [
        {"field": "city", "op": "one_of", "values": ["Berlin", "Paris"], "mode": "include"},
        {"field": "phone", "op": "is_empty", "values": [], "mode": "exclude"},
    ]
