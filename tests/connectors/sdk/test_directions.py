"""Which way a field flows: its rule's direction met with the stream's, and what each way makes of a record."""

from typing import Any

import pytest

from connectors.sdk import (
    CompiledMapping,
    FieldInfo,
    MappingError,
    Rule,
    TargetField,
    Transform,
    compile_mapping,
    rules_from_json,
    rules_to_json,
)
from tests.connectors.sdk.manifests import make_connector

FIELDS = (
    TargetField("email", "E-mail", "email"), TargetField("name", "Name", "text"), TargetField("score", "Score", "number"),
    TargetField("city", "City", "text"), TargetField("phone", "Phone", "phone"),
)  # fmt: skip
RULES = (
    Rule("email", ("mail",), (Transform("trim"), Transform("case", {"to": "lower"})), direction="both"),
    Rule("name", ("first", "last"), direction="both", conflict="ours"),
    Rule("score", ("points",), direction="in"), Rule("city", ("address.city",), direction="out", conflict="ask"),
    Rule("phone", ("tel",), direction="off", conflict="ask"),
)  # fmt: skip
DATA = {
    "mail": " Ada@Example.com",
    "first": "Ada",
    "last": "Byron",
    "points": "7",
    "address": {"city": "Oslo"},
    "tel": "1",
}
VALUES = {"email": "ada@example.com", "name": "Ada Byron", "score": 7, "city": "Oslo"}


@pytest.mark.parametrize(
    ("direction", "incoming", "outgoing"),
    [
        ("in", ("email", "name", "score"), ()), ("both", ("email", "name", "score"), ("email", "name", "city")),
        ("out", (), ("email", "name", "city")),
    ],
)  # fmt: skip
def test_a_field_flows_a_way_that_rule_and_stream_allow(direction: str, incoming: tuple[str, ...], outgoing: tuple[str, ...]) -> None:  # fmt: skip
    mapping = compile_mapping(RULES, FIELDS, direction=direction)
    assert (mapping.incoming_targets, mapping.outgoing_targets) == (incoming, outgoing)
    assert mapping.targets == ("email", "name", "score", "city")
    assert mapping.policies == {"name": "ours", "city": "ask"}
    assert mapping.apply(DATA).values == VALUES


def both(*rules: Rule, **more: Any) -> CompiledMapping:
    return compile_mapping(rules, FIELDS, direction="both", **more)


def test_values_flow_out_by_path() -> None:
    mapping = both(*RULES)
    sent = mapping.outgoing(
        {"email": "ada@example.com", "name": "Ada King Byron", "score": 9, "city": "", "phone": "1"}
    )
    assert sent.fields == {"mail": "ada@example.com", "first": "Ada", "last": "King Byron", "address.city": None}
    assert (sent.problems, sent.failed) == ((), False)


def test_a_stream_that_only_flows_in_sends_nothing() -> None:
    assert compile_mapping(RULES, FIELDS).outgoing(VALUES).fields == {}


def test_an_update_sends_only_what_has_changed_and_clears_what_is_gone() -> None:
    mapping = both(*RULES)
    assert mapping.outgoing(VALUES, only={"city"}).fields == {"address.city": "Oslo"}
    assert mapping.outgoing({}, only=["name", "score", "phone"]).fields == {"first": None, "last": None}
    assert mapping.outgoing(VALUES, only=()).fields == {}
    assert mapping.outgoing({"city": "Oslo"}).fields == {"address.city": "Oslo"}


def test_a_value_that_cannot_be_written_there_is_a_problem() -> None:
    table = Transform("value_table", {"table": {"1": "one"}, "otherwise": "error"})
    hard, soft = (Rule("name", ("a",), (table,), "both", on_error=way) for way in ("fail_record", "skip_field"))
    rest = Rule("city", ("b",), direction="out")
    sent = both(hard, rest).outgoing({"name": "two", "city": "Oslo"})
    assert (sent.fields, sent.failed) == ({"b": "Oslo"}, True)
    (problem,) = sent.problems
    assert (problem.field, problem.value) == ("name", "two")
    assert problem.message == "Name: “two” is not in the table of values."
    assert both(soft, rest).outgoing({"name": "two", "city": "Oslo"}).failed is False


def test_a_field_that_only_flows_out_fails_no_record_on_its_way_in() -> None:
    rules = [Rule("score", ("points",), direction="out", required=True), Rule("name", ("name",))]
    mapped = both(*rules).apply({"points": "many", "name": "Ada"})
    assert (mapped.values, mapped.failed) == ({"name": "Ada"}, False)
    assert [problem.field for problem in mapped.problems] == ["score"]
    assert both(*rules).apply({"name": "Ada"}).values == {"score": None, "name": "Ada"}
    assert (
        compile_mapping([Rule("email", ("m",), direction="both")], FIELDS, direction="out").apply({"m": "x"}).failed
        is False
    )


KINDS = [
    ("integer", 7, 7), ("number", 7.5, 7.5), ("text", 7, "7"), ("flag", True, True), ("text", True, "yes"), ("json", [1], [1]),
    ("datetime", "2026-11-24", "2026-11-24T00:00:00Z"), ("date", "2026-11-24T23:00:00Z", "2026-11-24"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "sent"), KINDS, ids=repr)
def test_a_value_takes_the_type_it_has_there(kind: str, value: Any, sent: Any) -> None:
    fields = [TargetField("x", "X", "json")]
    rules = [Rule("x", ("a",), direction="both")]
    mapping = compile_mapping(rules, fields, direction="both", sources=[FieldInfo("a", "A", kind)])
    made = mapping.outgoing({"x": value}).fields
    assert (made, type(made["a"])) == ({"a": sent}, type(sent))
    assert compile_mapping(rules, fields, direction="both").outgoing({"x": value}).fields == {"a": value}


def test_a_value_that_is_not_of_the_type_there_is_refused() -> None:
    mapping = both(Rule("name", ("a",), direction="both"), sources=[FieldInfo("a", "A", "integer")])
    assert mapping.outgoing({"name": "12"}).fields == {"a": 12}
    assert mapping.outgoing({"name": "many"}).problems[0].message == "Name: “many” is not a number."


WRONG: list[tuple[Rule, str, str]] = [
    (Rule("name", ("a",), (Transform("substring", {"start": 2}),)), "“part of the text” cannot be turned round: Name can only flow in.", "take the transform away"),
    (Rule("name", ("a",), (Transform("trim"), Transform("split"))), "“split” cannot be turned round: Name can only flow in.", "take the transform away"),
    (Rule("name", ("a",), (Transform("replace", {"old": "a"}),)), "“replace” cannot be turned round", "take the transform away"),
    (Rule("score", ("a", "b"), (Transform("minor_units"),)), "An amount does not say its currency", "take the transform away"),
    (Rule("name", ("a",), (Transform("value_table", {"table": {"x": "lead", "y": "Lead"}}),)), "“x” and “y” both become “Lead”.", "change its settings"),
    (Rule("name", ("a", "b"), (Transform("concat", {"separator": ""}),)), "nothing put between", "change its settings"),
    (Rule("name", ("a",), (Transform("date_parse", {"format": "DD.MM."}),)), "does not say year, month and day", "change its settings"),
    (Rule("name", ("a",), (Transform("date_format", {"format": "hh:mm"}),)), "does not say year, month and day", "change its settings"),
    (Rule("name", ("a",), (Transform("date_format", {"format": "epoch_s"}),)), "no form to write dates in", "change its settings"),
    (Rule("name", ("a",), (Transform("boolean", {"yes": "y,n", "no": "n"}),)), "“n” stands for yes as well.", "change its settings"),
    (Rule("name", ("a",), (Transform("boolean", {"yes": "y", "no": ",n"}),)), "is empty", "change its settings"),
    (Rule("name", (), default="x"), "Name is a fixed value and can only flow in.", "choose a field"),
    (Rule("name", ("a.0",)), "a.0 is a place in a list: Name can only flow in.", "choose another field"),
]  # fmt: skip


@pytest.mark.parametrize("way", ["out", "both"])
@pytest.mark.parametrize(("rule", "said", "fix"), WRONG, ids=lambda value: repr(value)[:60])
def test_a_rule_that_cannot_be_turned_round_only_flows_in(rule: Rule, said: str, fix: str, way: str) -> None:
    turned = Rule(rule.target, rule.sources, rule.transforms, way, default=rule.default)
    for direction in ("in", "out", "both"):
        with pytest.raises(MappingError) as caught:
            compile_mapping([turned], FIELDS, direction=direction)
        (problem,) = caught.value.problems
        assert said in problem.message
        assert problem.fix == f"Choose direction in, or {fix}."
        assert compile_mapping([rule], FIELDS, direction=direction).targets == (rule.target,)


@pytest.mark.parametrize(("first", "second"), [("a", "a"), ("a", "a.b"), ("a.b", "a")])
def test_two_fields_cannot_flow_out_to_one_place(first: str, second: str) -> None:
    rules = [Rule("name", (first,), direction="both"), Rule("city", (second,), direction="out")]
    with pytest.raises(MappingError) as caught:
        compile_mapping(rules, FIELDS)
    (problem,) = caught.value.problems
    assert (problem.field, problem.message) == ("city", f"Name and City both flow out to {second}.")
    assert both(Rule("name", (first,), direction="both"), Rule("city", (second,))).outgoing_targets == ("name",)


def test_a_required_field_has_to_flow_in_where_the_stream_does() -> None:
    fields = [TargetField("name", "Name", "text", required=True)]
    for way in ("out", "off"):
        rules = [Rule("name", ("a",), direction=way)]
        for direction in ("in", "both"):
            with pytest.raises(MappingError, match="Name is required and does not flow in"):
                compile_mapping(rules, fields, direction=direction)
        assert compile_mapping(rules, fields, direction="out").incoming_targets == ()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("name", ("a",), direction="sideways"), "Name has no such direction."),
        (Rule("name", ("a",), conflict="mine"), "Name has no such policy for conflicts."),
        (Rule("nowhere", ("a",), direction="off"), "There is no field nowhere."),
    ],
    ids=["direction", "conflict", "off"],
)
def test_what_is_no_direction_and_no_policy_is_refused(rule: Rule, said: str) -> None:
    with pytest.raises(MappingError, match=said):
        compile_mapping([rule], FIELDS)


def test_rules_of_older_versions_still_load() -> None:
    old = [{"target": "name", "sources": ["a"], "transforms": [{"name": "trim", "args": None}], "direction": "in"}]
    assert rules_from_json(old) == [Rule("name", ("a",), (Transform("trim"),))]
    assert rules_from_json(rules_to_json(RULES)) == list(RULES)


def default_directions(mapping: list[dict[str, Any]], **stream: Any) -> dict[str, str]:
    """Return the directions of a stream's default mapping."""
    names = ("a", "b", "c", "box", "email")
    fields = [{"name": name, "label": name, "read_only": name == "c"} for name in names]
    declared = make_connector(stream={"fields": fields, "mapping": mapping, **stream}).manifest.streams[0]
    rules = declared.rules()
    # What is chosen can always be compiled.
    compile_mapping(rules, [TargetField(rule.target, rule.target, "text") for rule in rules], direction="both")
    return {rule.target: rule.direction for rule in rules}


UPDATE = {
    "update": {"request": {"method": "PATCH", "path": "/contacts/{id}", "body": "{fields}"}},
    "concurrency": {"kind": "none"},
}
MANY = {
    "both ways": {"target": "plain", "sources": ["email"], "transforms": [{"name": "trim"}]},
    "joined of what another writes": {"target": "joined", "sources": ["a", "b"]},
    "written before": {"target": "a_once_more", "sources": ["a"]}, "writes a": {"target": "a", "sources": ["a"]},
    "read only": {"target": "c", "sources": ["c"]}, "cannot be turned round": {"target": "part", "sources": ["b"], "transforms": [{"name": "split"}]},
    "not declared": {"target": "inner", "sources": ["box.inner"]}, "fixed": {"target": "fixed", "default": "x"},
    "its own choice": {"target": "chosen", "sources": ["box"], "direction": "out", "conflict": "ours"},
}  # fmt: skip


def test_a_default_rule_flows_both_ways_where_it_can() -> None:
    assert default_directions(list(MANY.values()), writes=UPDATE) == {
        "plain": "both", "joined": "in", "a_once_more": "both", "a": "in", "c": "in", "part": "in", "inner": "in", "fixed": "in",
        "chosen": "out",
    }  # fmt: skip
    assert default_directions([MANY["joined of what another writes"]], writes=UPDATE) == {"joined": "both"}
    first_of = {"target": "first", "sources": ["a", "b"], "transforms": [{"name": "coalesce"}]}
    assert default_directions([first_of, {"target": "b", "sources": ["b"]}], writes=UPDATE) == {
        "first": "both",
        "b": "both",
    }


def test_what_holds_our_reference_or_the_version_does_not_flow_out() -> None:
    rules = [{"target": name, "sources": [name]} for name in ("a", "b", "email")]
    guard = {"kind": "version_field", "field": "b"}
    request = {"path": "/contacts", "query": {"a": "{reference}"}}
    create = {"create": {"request": {"method": "POST", "path": "/contacts", "body": "{fields}"}}}
    safety = {"kind": "lookup", "field": "a", "request": request}
    writes = {**UPDATE, **create, "concurrency": guard, "create_safety": safety}
    assert default_directions(rules, writes=writes) == {"a": "in", "b": "in", "email": "both"}


def test_nothing_flows_out_of_a_stream_without_writes() -> None:
    assert set(default_directions(list(MANY.values())[:-1]).values()) == {"in"}
