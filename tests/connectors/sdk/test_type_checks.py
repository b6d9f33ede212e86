"""Types checked when a mapping is saved, with what would make them fit; and rules suggested by name and type."""

from typing import Any

import pytest

from app.services.object_types import standard_fields
from connectors.registry import all_connectors
from connectors.sdk import (
    Choice,
    FieldInfo,
    Rule,
    TargetField,
    Transform,
    check_types,
    compile_mapping,
    suggest_rules,
    suggest_transform,
)
from connectors.sdk.fields import FIELD_TYPES
from connectors.sdk.type_checks import with_proposal

OURS = (Choice("lead", "Lead"), Choice("won", "Won deal"))
THEIRS = (
    Choice("1", "won deal"),
    Choice("lead", "New"),
    Choice("opportunity", "Opportunity"),
    Choice("2", "Two"),
    Choice("3", "Three"),
)
T = Transform


def check(rule: Rule, source: FieldInfo | str, target: str, **more: Any) -> list[tuple[str, str, Transform | None]]:
    """Return what is said of one rule between a source and a target of these types."""
    info = source if isinstance(source, FieldInfo) else FieldInfo("a", "Source", source)
    field = TargetField(rule.target, "Target", target, choices=OURS if "choice" in target else ())
    found = check_types([rule], [field], {info.name: info}, **more)
    assert all(problem.fix for problem in found)
    return [(problem.message, problem.fix, problem.proposal) for problem in found]


def rule(*steps: Transform, direction: str = "in", **more: Any) -> Rule:
    return Rule("x", ("a",), steps, direction, **more)


@pytest.mark.parametrize(
    ("steps", "source", "target"),
    [
        ((), "email", "email"), ((), "number", "integer"), ((), "date", "text"), ((), "json", "json"), ((T("number"),), "text", "integer"), ((T("boolean"),), "text", "flag"),
        ((T("trim"),), "text", "email"), ((T("date_parse", {"format": "epoch_s"}),), "integer", "datetime"), ((T("value_table", {"table": {}}),), "text", "choice"),
        ((T("value_table", {"table": {}}),), "flag", "choice"), ((T("date_format"),), "datetime", "text"), ((T("default", {"value": "x"}),), "text", "text"),
    ],
    ids=repr,
)  # fmt: skip
def test_types_that_fit_are_not_spoken_of(steps: tuple[Transform, ...], source: str, target: str) -> None:
    for direction in ("in", "both", "off"):
        assert check(rule(*steps, direction=direction), source, target) == []


@pytest.mark.parametrize(
    ("steps", "source", "target", "message", "proposal"),
    [
        ((), "text", "number", "Source is a text, but Target is a number.", T("number", {"decimal": "."})),
        ((), "text", "date", "Source is a text, but Target is a date.", T("date_parse", {"format": "YYYY-MM-DD"})),
        ((), "integer", "datetime", "Source is a whole number, but Target is a date with time.", T("date_parse", {"format": "epoch_s"})),
        ((), "text", "flag", "Source is a text, but Target is a yes or no.", T("boolean", {})), ((), "text", "email", "Source is a text, but Target is an e-mail address.", T("trim", {})),
        ((), "text", "choice", "Source is a text, but Target is a choice.", T("value_table", {"table": {}, "otherwise": "keep"})),
        ((T("number"),), "text", "date", "Source becomes a number, but Target is a date.", T("date_parse", {"format": "epoch_s"})),
        ((), "date", "number", "Source is a date, but Target is a number.", None), ((), "json", "text", "Source is a structure, but Target is a text.", None),
        ((), "multi_choice", "choice", "Source is a list of choices, but Target is a choice.", None), ((T("date_parse"),), "text", "number", "Source becomes a date, but Target is a number.", None),
        ((T("value_table", {"table": {}}),), "date", "choice", "Source is a date, but Target is a choice.", None),
    ],
    ids=repr,
)  # fmt: skip
def test_types_that_do_not_fit_are_said_with_what_would(steps: tuple[Transform, ...], source: str, target: str, message: str, proposal: Transform | None) -> None:  # fmt: skip
    (found,) = check(rule(*steps), source, target)
    assert (found[0], found[2]) == (message, proposal)
    assert found[1].startswith("Use “" if proposal else "Choose another field.")
    if proposal:
        assert check(with_proposal(rule(*steps), proposal), source, target) == []


@pytest.mark.parametrize("source", FIELD_TYPES)
@pytest.mark.parametrize("target", FIELD_TYPES)
def test_what_is_suggested_is_no_misfit(source: str, target: str) -> None:
    step = suggest_transform(source, target)
    found = check(rule(*([step] if step else [])), source, target)
    bare = check(rule(), source, target)
    assert not found if step else found == bare
    assert [entry[2] for entry in bare] == ([step] if bare else [])


def test_a_text_that_may_not_fit_can_be_left_out() -> None:
    assert check(rule(on_error="skip_field"), "text", "number") == []
    assert check(rule(on_error="skip_field"), "date", "number") != []


def test_several_sources_are_joined_to_a_text() -> None:
    sources = {
        name: FieldInfo(name, name.upper(), kind) for name, kind in (("a", "text"), ("b", "number"), ("c", "date"))
    }
    number, text = TargetField("x", "Target", "number"), TargetField("x", "Target", "text")
    assert check_types([Rule("x", ("a", "b"))], [text], sources) == []
    (found,) = check_types([Rule("x", ("b", "c"))], [number], sources)
    assert (found.message, found.proposal) == (
        "B becomes a text, but Target is a number.",
        T("number", {"decimal": "."}),
    )
    (found,) = check_types([Rule("x", ("b", "c"), (T("coalesce"),))], [number], sources)
    assert found.message == "C is a date, but Target is a number."


def test_what_is_not_known_is_not_judged() -> None:
    field = [TargetField("x", "Target", "number")]
    assert (
        check_types(
            [Rule("x", ("a.b",), direction="both"), Rule("gone", ("a",))], field, {"a": FieldInfo("a", "A", "json")}
        )
        == []
    )


def test_choices_the_target_does_not_know_get_a_table_to_fill_in() -> None:
    (found,) = check(rule(), FieldInfo("a", "Source", "choice", choices=THEIRS), "choice")
    assert found[0] == "Target does not know “won deal”, “Opportunity”, “Two” and 1 more of Source."
    assert found[2] == T(
        "value_table", {"table": {"1": "won", "opportunity": "", "2": "", "3": ""}, "otherwise": "keep"}
    )
    filled = with_proposal(rule(), found[2])
    assert check(filled, FieldInfo("a", "Source", "choice", choices=THEIRS), "choice") == []
    some = rule(T("trim"), T("value_table", {"table": {"opportunity": "won", "2": "lead", "3": "lead"}}))
    (found,) = check(some, FieldInfo("a", "Source", "choice", choices=THEIRS), "choice")
    assert found[2].args["table"] == {"opportunity": "won", "2": "lead", "3": "lead", "1": "won"}
    assert check(rule(on_error="skip_field"), FieldInfo("a", "Source", "choice", choices=THEIRS), "choice") == []
    nested_field = FieldInfo("p.a", "Source", "multi_choice", choices=THEIRS[:2])
    (found,) = check(Rule("x", ("p.a",)), nested_field, "multi_choice")
    assert (found[0], found[2]) == ("Target does not know “won deal” of Source.", None)


def test_choices_of_ours_that_they_do_not_know_cannot_flow_out() -> None:
    info = FieldInfo("a", "Source", "choice", choices=(Choice("lead", "New"), Choice("3", "Three")))
    out = rule(direction="out")
    assert check(out, info, "choice") == [
        ("Source does not know “Won deal” of Target.", "Let Target only flow in, or leave out what does not fit.", None)
    ]
    table = rule(T("value_table", {"table": {"3": "won"}}), direction="both")
    assert check(table, info, "choice") == []
    assert check(rule(direction="out", on_error="skip_field"), info, "choice") == []


@pytest.mark.parametrize(
    ("steps", "source", "target", "message"),
    [
        ((), "number", "text", None), ((), "email", "text", None), ((T("date_parse"),), "text", "date", None), ((T("number"),), "number", "number", None), ((), "datetime", "date", None),
        ((T("value_table", {"table": {}}),), "text", "choice", None), ((T("concat"),), "number", "text", None), ((), "text", "json", None),
        ((T("date_format"),), "date", "text", None), ((), "date", "json", None), ((), "json", "text", None),
        ((T("date_parse", {"format": "epoch_s"}),), "date", "date", None), ((T("date_format"),), "number", "text", "Target is a text, but Source is a number there."),
        ((), "date", "number", "Target is a number, but Source is a date there."),
        ((), "multi_choice", "date", "Target is a date, but Source is a list of choices there."),
    ],
    ids=repr,
)  # fmt: skip
def test_types_are_checked_on_the_way_out(steps: tuple[Transform, ...], source: str, target: str, message: str | None) -> None:  # fmt: skip
    assert [entry[:2] for entry in check(rule(*steps, direction="out"), source, target)] == (
        [(message, "Let Target only flow in.")] if message else []
    )


def test_what_can_only_be_read_there_does_not_flow_out() -> None:
    fixed = FieldInfo("a", "Source", "text", read_only=True)
    assert check(rule(direction="both"), fixed, "text") == [
        ("Source can only be read there.", "Let Target only flow in.", None)
    ]
    assert check(rule(), fixed, "text") == []


def test_what_a_new_record_needs_there_has_to_flow_out() -> None:
    sources = {
        name: FieldInfo(name, name.upper(), "text", required=name != "free", read_only=name == "made") for name in ("a", "b", "made", "free", "box")
    }  # fmt: skip
    rules = [Rule("x", ("a",), direction="both"), Rule("y", ("b",)), Rule("z", ("box.inner",), direction="out")]
    targets = [TargetField(name, name.upper(), "text") for name in "xyz"]
    (found,) = check_types(rules, targets, sources, creates=True)
    assert (found.field, found.value) == ("", "b")
    assert found.message == "B is required for a new record there, and nothing flows out to it."
    assert check_types(rules, targets, sources) == []
    first = [Rule("x", ("free", "b"), (T("coalesce"),), "out"), *rules[0:1], rules[2]]
    assert [problem.value for problem in check_types(first, targets, sources, creates=True)] == ["b"]


def test_the_default_mappings_of_all_connectors_fit() -> None:
    seen = 0
    for connector in all_connectors():
        for stream in connector.manifest.streams:
            targets, infos = standard_fields(stream.object_type), stream.field_infos()
            creates = bool(stream.writes and stream.writes.create)
            assert check_types(stream.rules(), targets, {i.name: i for i in infos}, creates=creates) == []
            ready = compile_mapping(stream.rules(), targets, direction="both", sources=infos)
            seen += len(ready.outgoing_targets)
            assert bool(ready.outgoing_targets) == bool(stream.writes), (connector.manifest.slug, stream.name)
    assert seen > 50


def suggested(*sources: tuple[str, str, str] | tuple[str, str], targets: str) -> dict[str, str]:
    """Return target -> source suggested; targets as `name:type`, sources as (path, type) or (path, label, type)."""
    infos = [FieldInfo(source[0], source[1] if len(source) == 3 else "", source[-1]) for source in sources]
    fields = [TargetField(name, name.replace("_", " "), kind) for name, kind in (text.split(":") for text in targets.split())]  # fmt: skip
    return {found.target: found.sources[0] for found in suggest_rules(infos, fields)}


def test_synonyms_are_known_and_come_after_names() -> None:
    assert suggested(("p.company", "text"), ("zip", "text"), ("mobile", "phone"), ("surname", "text"), targets="company_name:text postal_code:text phone:phone last_name:text") == {
        "company_name": "p.company", "postal_code": "zip", "phone": "mobile", "last_name": "surname",
    }  # fmt: skip
    assert suggested(("mobile", "phone"), ("phone", "text"), targets="phone:phone") == {"phone": "phone"}
    assert suggested(("x", "Phone", "phone"), ("mobile", "phone"), targets="phone:phone") == {"phone": "x"}
    assert suggested(("title", "text"), targets="job_title:text title:text") == {"title": "title"}
    assert suggested(("town", "text"), ("color", "text"), targets="country:text size:number") == {}


def test_the_type_breaks_ties_and_a_misfit_is_not_proposed() -> None:
    assert suggested(("a.phone", "text"), ("b.phone", "phone"), targets="phone:phone") == {"phone": "b.phone"}
    assert suggested(("a.score", "text"), ("b.score", "integer"), ("c.score", "number"), targets="score:number") == {
        "score": "c.score"
    }
    assert suggested(("a.score", "text"), ("b.score", "integer"), targets="score:number") == {"score": "b.score"}
    assert suggested(("score", "date"), ("rating", "number"), targets="score:number") == {"score": "rating"}
    assert suggested(("score", "json"), targets="score:number") == {}
    (found,) = suggest_rules([FieldInfo("birthdate", "", "text")], [TargetField("birthday", "Birthday", "date")])
    assert [step.name for step in found.transforms] == ["date_parse"]
