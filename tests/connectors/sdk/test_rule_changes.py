"""Two versions of a mapping, compared in words."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import Rule, RuleChange, Transform, diff_rules
from tests.connectors.sdk.generated import FIXED

TRIM, LOWER = Transform("trim"), Transform("case", {"to": "lower"})
RULE = Rule("name", ("a",), (TRIM,))
CHANGES: list[tuple[Rule, dict[str, Any], tuple[str, ...]]] = [
    (RULE, {"sources": ("b", "c")}, ("from B label and c, was from a",)), (RULE, {"sources": (), "default": "x"}, ("from a fixed value, was from a", "when empty: “x”, was nothing")),
    (RULE, {"direction": "both"}, ("flows both ways, before it flowed in",)), (replace(RULE, direction="both"), {"direction": "off"}, ("is switched off, before it flowed both ways",)),
    (RULE, {"transforms": (TRIM, LOWER)}, ("added “change case” (write in “lower”)",)), (RULE, {"transforms": ()}, ("took away “trim”",)),
    (replace(RULE, transforms=(TRIM, LOWER)), {"transforms": (LOWER, TRIM)}, ("in the order “change case”, “trim”",)),
    (replace(RULE, transforms=(LOWER,)), {"transforms": (Transform("case", {"to": "upper"}),)}, ("“change case” (write in “upper”), was “change case” (write in “lower”)",)),
    (RULE, {"transforms": (TRIM, Transform("value_table", {"table": {"a": "b", "c": "d"}}), Transform("own"))}, ("added “translate values” (values a = b, c = d)", "added own")),
    (RULE, {"transforms": (TRIM, Transform("value_table", {"table": {}}))}, ("added “translate values” (values an empty table)",)),
    (RULE, {"required": True}, ("required",)), (replace(RULE, required=True), {"required": False}, ("no longer required",)),
    (RULE, {"on_error": "skip_field"}, ("when a value does not fit, the field is left out",)), (RULE, {"conflict": "ask"}, ("on conflict a person is asked, was as in the stream",)),
    (replace(RULE, conflict="ours"), {"conflict": None}, ("on conflict as in the stream, was our value wins",)),
]  # fmt: skip


@pytest.mark.parametrize(("old", "change", "what"), CHANGES, ids=repr)
def test_a_changed_rule_says_what_has_changed(old: Rule, change: dict[str, Any], what: tuple[str, ...]) -> None:
    changed = diff_rules([old], [replace(old, **change)], {"b": "B label"})
    assert changed == [RuleChange("name", "changed", what)]


def test_rules_are_added_and_removed() -> None:
    kept, gone = Rule("kept", ("k",)), Rule("gone", ("g",), direction="out", required=True)
    new = Rule("new", ("n",), (TRIM,), direction="both", default=0, conflict="theirs")
    assert diff_rules([gone, kept, RULE], [new, RULE, kept], {"n": "Number"}) == [
        RuleChange("new", "added", ("from Number", "flows both ways", "“trim”", "when empty: “0”", "on conflict their value wins")),
        RuleChange("gone", "removed", ("from g", "flows out", "required")),
    ]  # fmt: skip


STEPS = st.sampled_from([TRIM, LOWER, Transform("case", {"to": "upper"}), Transform("number", {"decimal": "."})])
RULES = st.lists(
    st.builds(
        Rule, st.sampled_from("abc"), st.sampled_from([("x",), ("y", "z")]), st.lists(STEPS, max_size=3, unique_by=id).map(tuple), st.sampled_from(["in", "out", "both", "off"]),
        st.booleans(), st.none() | st.just("d"), st.sampled_from(["fail_record", "skip_field"]), st.sampled_from([None, "ask", "ours"]),
    ),
    max_size=3, unique_by=lambda rule: rule.target,
)  # fmt: skip


@FIXED
@given(RULES, RULES)
def test_nothing_is_said_of_the_same_and_something_of_every_difference(old: list[Rule], new: list[Rule]) -> None:
    assert diff_rules(old, old[::-1]) == []
    before, after = ({rule.target: rule for rule in rules} for rules in (old, new))
    different = {target for target in {*before, *after} if before.get(target) != after.get(target)}
    changes = diff_rules(old, new)
    assert {change.target for change in changes} == different
    assert all(change.what and all(change.what) for change in changes)
