"""Rules: refused whole when they cannot work, applied to any record without an exception."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import (
    TRANSFORMS,
    Choice,
    FieldInfo,
    MappingError,
    Rule,
    TargetField,
    Transform,
    compile_mapping,
    fits,
    rules_from_json,
    rules_to_json,
    suggest_rules,
    suggest_transform,
)
from connectors.sdk.fields import FIELD_TYPES
from tests.connectors.sdk.generated import FIXED, KEY, PATHS, VALUE

STAGES = (Choice("lead", "Lead"), Choice("won", "Won deal"))
FIELDS = (
    TargetField("email", "E-mail", "email"), TargetField("name", "Name", "text"), TargetField("score", "Score", "number"),
    TargetField("stage", "Stage", "choice", choices=STAGES), TargetField("active", "Active", "flag"),
)  # fmt: skip
NEEDED = (*FIELDS, TargetField("ref", "Reference", "text", required=True))


def trims(*more: str) -> tuple[Transform, ...]:
    return tuple(Transform(name, {}) for name in ("trim", *more))


def test_a_record_is_mapped() -> None:
    rules = [
        Rule("email", ("contact.mail",), (Transform("trim"), Transform("case", {"to": "lower"}))), Rule("name", ("first", "last")),
        Rule("score", ("points.0",)), Rule("stage", ("stage",), default="lead"), Rule("active", (), default=True),
    ]  # fmt: skip
    mapping = compile_mapping(rules, FIELDS)
    data = {"contact": {"mail": " ADA@Example.com "}, "first": "Ada", "last": "Byron", "points": ["7.0"], "stage": ""}
    mapped = mapping.apply(data)
    assert mapped.values == {
        "email": "ada@example.com",
        "name": "Ada Byron",
        "score": 7,
        "stage": "lead",
        "active": True,
    }
    assert (mapped.problems, mapped.failed) == ((), False)
    assert mapping.targets == ("email", "name", "score", "stage", "active")


def test_a_default_among_the_transforms_sees_what_they_left() -> None:
    emptied = Transform("value_table", {"table": {"a": "b"}, "otherwise": "empty"})
    for steps in (
        (emptied, Transform("default", {"value": "x"})),
        (emptied, *trims(), Transform("default", {"value": "x"})),
    ):
        mapping = compile_mapping([Rule("name", ("a",), steps)], FIELDS)
        assert [mapping.apply({"a": value}).values["name"] for value in ("a", "c", None)] == ["b", "x", "x"]


def test_what_is_empty_is_written_as_empty() -> None:
    rules = [Rule("email", ("a",)), Rule("name", ("a", "b")), Rule("score", ("c",), trims("number"))]
    for data in ({}, {"a": None, "b": "", "c": None}, {"a": "", "x": 1}):
        mapped = compile_mapping(rules, FIELDS).apply(data)
        assert mapped.values == {"email": None, "name": None, "score": None}
        assert not mapped.failed


@pytest.mark.parametrize(
    ("rule", "data", "message"),
    [
        (Rule("email", ("m",)), {"m": "nobody"}, "E-mail: “nobody” is not an e-mail address."),
        (Rule("stage", ("m",)), {"m": "lost"}, "Stage: “lost” is none of lead, won."),
        (Rule("score", ("m",)), {"m": {"a": 1}}, "Score: “{'a': 1}” is not a number."),
        (Rule("score", ("m",), (Transform("number"),)), {"m": "lots"}, "Score: “lots” is not a number."),
        (Rule("name", ("m",)), {"m": "a\x00b"}, "Name: “a�b” holds a character that cannot be stored."),
        (Rule("name", ("m",)), {"m": "x" * 70_000}, f"Name: “{'x' * 79}…” is longer than 65,536 characters."),
        (Rule("name", ("m", "n")), {"m": ["a"], "n": "b"}, "Name: “[['a'], 'b']” is a structure, not a text."),
        (Rule("name", ("m",), required=True), {"m": ""}, "Name is empty, but it is required."),
        (Rule("email", ("m",), default="none"), {}, "E-mail: “None” is not an e-mail address."),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_a_bad_value_fails_the_record_with_field_and_value(rule: Rule, data: dict[str, Any], message: str) -> None:
    mapped = compile_mapping([rule, Rule("active", ("on",))], FIELDS).apply({**data, "on": "yes"})
    (problem,) = mapped.problems
    assert (problem.field, problem.message) == (rule.target, message)
    assert (mapped.failed, mapped.values) == (True, {"active": True})


def test_a_field_may_be_left_out_instead() -> None:
    rules = [Rule("stage", ("stage",), on_error="skip_field"), Rule("name", ("name",))]
    mapped = compile_mapping(rules, FIELDS).apply({"stage": "lost", "name": "Ada"})
    assert (mapped.values, mapped.failed, len(mapped.problems)) == ({"name": "Ada"}, False, 1)
    must = [Rule("ref", ("ref",), on_error="skip_field")]
    assert compile_mapping(must, NEEDED).apply({"ref": {}}).failed


def test_required_is_what_either_side_requires() -> None:
    assert compile_mapping([Rule("ref", ("ref",))], NEEDED).apply({}).failed
    assert not compile_mapping([Rule("ref", ("ref",), default="none")], NEEDED).apply({}).failed
    assert not compile_mapping([Rule("name", ("name",))], FIELDS).apply({}).failed


@pytest.mark.parametrize(
    ("rules", "field", "message"),
    [
        ([Rule("nowhere", ("a",))], "nowhere", "There is no field nowhere."), ([Rule("name", ())], "name", "Name has no source."),
        ([Rule("name", ("a",)), Rule("name", ("b",))], "name", "Name is mapped twice."),
        ([Rule("name", tuple("abcdefghijk"))], "name", "Name has too many sources or transforms."),
        ([Rule("name", ("a",), trims(*["trim"] * 10))], "name", "Name has too many sources or transforms."),
        ([Rule("name", ("a",), trims("own"))], "name", "Name: there is no transform own."),
        ([Rule("name", ("a",), trims("concat"))], "name", "A transform does not fit: “join” must come first."),
        ([Rule("name", ("a",), trims("replace"))], "name", "A transform does not fit: “replace” needs Replace."),
        *[([Rule("name", (path,))], "name", f"Name: {path} is not a field name.") for path in ("", "a..b", "a b", "{a}", "a.b()", "ä", ".".join("a" * 17), "a\n")],
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_rules_that_cannot_work_are_refused(rules: list[Rule], field: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        compile_mapping(rules, FIELDS)
    (problem,) = caught.value.problems
    assert (problem.field, problem.message) == (field, message)
    assert problem.fix


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(MappingError) as caught:
        compile_mapping([Rule("nowhere", ("a",)), Rule("name", ()), Rule("score", ("s",), trims("own"))], NEEDED)
    assert [problem.field for problem in caught.value.problems] == ["nowhere", "name", "score", "ref"]
    many = [TargetField(f"f{number}", "F", "text") for number in range(201)]
    with pytest.raises(MappingError, match="more than 200 rules"):
        compile_mapping([Rule(target.name, ("a",)) for target in many], many)


GOOD: list[tuple[str, Any, Any]] = [
    ("text", 5, "5"), ("text", True, "yes"), ("text", "a ", "a "), ("email", "ada@example.com", "ada@example.com"),
    ("url", "https://x.example/a", "https://x.example/a"), ("number", "7.50", 7.5), ("number", 7.0, 7), ("integer", "12", 12), ("integer", "10000000000000001", 10000000000000001),
    ("flag", "On", True), ("flag", 0, False), ("date", "2026-11-24", "2026-11-24"), ("date", "2026-11-24T23:30:00+01:00", "2026-11-24"),
    ("datetime", "2026-11-24", "2026-11-24T00:00:00Z"), ("datetime", "2026-11-24T09:30:00+01:00", "2026-11-24T08:30:00Z"),
    ("choice", "WON", "won"), ("choice", " won deal ", "won"), ("multi_choice", ["Lead", "won"], ["lead", "won"]), ("multi_choice", "lead", ["lead"]),
    ("json", {"a": [1, None, "x"]}, {"a": [1, None, "x"]}), ("reference", 7, "7"), ("phone", "+46 8 1", "+46 8 1"), ("long_text", "a\nb", "a\nb"),
]  # fmt: skip
WRONG: list[tuple[str, Any]] = [
    ("text", {}), ("text", []), ("text", "\ud800"), ("email", "ada@"), ("email", "a@b@c.d"), ("email", "a b@c.de"), ("url", "javascript:alert(1)"),
    ("url", "example.com"), ("number", "1,5"), ("number", True), ("number", "nan"), ("number", 1e19), ("number", "1e400"), ("integer", 7.5), ("integer", "7.5"),
    ("flag", "maybe"), ("flag", []), ("date", "24/11/2026"), ("date", "2026-02-30"), ("datetime", "soon"), ("datetime", "0001-01-01T00:00:00+10:00"),
    ("choice", "lost"), ("choice", ["lead"]), ("multi_choice", ["lead", "lost"]), ("multi_choice", [["lead"]]),
    ("json", {"a": ["x\x00"]}), ("json", {"\x00": 1}), ("json", ["\udfff"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "made"), GOOD, ids=repr)
def test_a_value_becomes_the_type_of_its_field(kind: str, value: Any, made: Any) -> None:
    target = TargetField("out", "Out", kind, choices=STAGES if "choice" in kind else ())
    mapping = compile_mapping([Rule("out", ("in",))], [target])
    mapped = mapping.apply({"in": value})
    assert (mapped.values, type(mapped.values["out"])) == ({"out": made}, type(made))
    assert mapping.apply({"in": made}).values == mapped.values


@pytest.mark.parametrize(("kind", "value"), WRONG, ids=repr)
def test_a_value_of_another_type_is_a_problem(kind: str, value: Any) -> None:
    target = TargetField("out", "Out", kind, choices=STAGES if "choice" in kind else ())
    mapped = compile_mapping([Rule("out", ("in",))], [target]).apply({"in": value})
    assert (mapped.failed, mapped.values) == (True, {})
    assert mapped.problems[0].message.startswith("Out: “")


def test_a_value_wins_over_a_label_that_is_spelled_like_it() -> None:
    target = TargetField("out", "Out", "choice", choices=(Choice("a", "B"), Choice("b", "C")))
    mapping = compile_mapping([Rule("out", ("in",))], [target])
    assert [mapping.apply({"in": value}).values["out"] for value in ("a", "b", "B", "C")] == ["a", "b", "b", "b"]


TARGETS = [TargetField(kind, kind.title(), kind, choices=STAGES if "choice" in kind else ()) for kind in FIELD_TYPES]
STEPS = st.sampled_from(
    [Transform(info.name, info.example_args) for info in TRANSFORMS.values() if not info.takes_all]
    + [Transform("date_parse", {"format": "epoch_s"}), Transform("date_format", {"zone": "Asia/Tokyo"})]
)
RULES = st.builds(
    Rule, st.just("x"), st.lists(PATHS, min_size=1, max_size=3).map(tuple), st.lists(STEPS, max_size=3).map(tuple),
    required=st.booleans(), default=st.none() | st.just("7"), on_error=st.sampled_from(["fail_record", "skip_field"]),
)  # fmt: skip


@FIXED
@given(st.lists(RULES, min_size=len(TARGETS), max_size=len(TARGETS)), st.dictionaries(KEY, VALUE, max_size=5))
def test_any_record_is_mapped_or_has_problems(rules: list[Rule], data: dict[str, Any]) -> None:
    rules = [
        Rule(target.name, rule.sources, rule.transforms, "in", rule.required, rule.default, rule.on_error)
        for rule, target in zip(rules, TARGETS, strict=True)
    ]
    mapping = compile_mapping(rules, TARGETS)
    before = copy.deepcopy(data)
    mapped = mapping.apply(data)
    assert repr(data) == repr(before)
    assert repr(mapping.apply(data)) == repr(mapped)
    assert {problem.field for problem in mapped.problems} == set(FIELD_TYPES) - set(mapped.values)
    assert all("\x00" not in problem.message for problem in mapped.problems)
    assert b"\\u0000" not in orjson.dumps(mapped.values).replace(b"\\\\", b"")
    by_name = {rule.target: rule for rule in rules}
    hard = [p for p in mapped.problems if by_name[p.field].required or by_name[p.field].on_error == "fail_record"]
    assert mapped.failed == bool(hard)


@FIXED
@given(st.lists(RULES, max_size=4))
def test_rules_survive_being_stored(rules: list[Rule]) -> None:
    assert rules_from_json(orjson.loads(orjson.dumps(rules_to_json(rules)))) == rules


@pytest.mark.parametrize("source", FIELD_TYPES)
@pytest.mark.parametrize("target", FIELD_TYPES)
def test_what_is_suggested_can_be_compiled(source: str, target: str) -> None:
    found = suggest_transform(source, target)
    assert found is None or not fits(source, target)
    rule = Rule("out", ("in",), (found,) if found else ())
    assert compile_mapping([rule], [TargetField("out", "Out", target)]).targets == ("out",)


def test_rules_are_suggested_by_name_and_label() -> None:
    sources = [
        FieldInfo("properties.e_mail", "Mail", "text"), FieldInfo("a.firstName", "Given name", "text"), FieldInfo("pts", "Score", "text"),
    ]  # fmt: skip
    rules = suggest_rules(sources, [*FIELDS, TargetField("first_name", "First", "text")])
    assert [(rule.target, rule.sources, [step.name for step in rule.transforms]) for rule in rules] == [
        ("email", ("properties.e_mail",), ["trim"]), ("score", ("pts",), ["number"]), ("first_name", ("a.firstName",), []),
    ]  # fmt: skip
