"""Filters: which record passes, and the sentence for one that does not."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk import Choice, Filter, MappingError, TargetField, compile_filters, describe_filter, filter_from_json
from connectors.sdk.filters import MAX_FILTERS, MAX_VALUES, OPS
from tests.connectors.sdk.generated import FIXED, VALUE

STAGES = (Choice("lead", "New lead"), Choice("won", "Won deal"))
FIELDS = (
    TargetField("country", "Country", "text"), TargetField("score", "Score", "number"), TargetField("stage", "Stage", "choice", choices=STAGES),
    TargetField("tags", "Tags", "multi_choice", choices=STAGES), TargetField("born", "Born", "date"), TargetField("seen", "Seen", "datetime"),
    TargetField("active", "Active", "flag"), TargetField("email", "E-mail", "email"),
)  # fmt: skip


def said(record: dict[str, Any], *rules: tuple[Any, ...]) -> str | None:
    """Return what is said of a record by filters given as field, operator, values and mode."""
    names = ("field", "op", "values", "mode")
    return compile_filters([dict(zip(names, rule, strict=False)) for rule in rules], FIELDS)(record)


PASSES: list[tuple[str, str, list[Any], Any]] = [
    ("country", "is", ["germany"], " GERMANY "), ("country", "is_not", ["Germany"], "France"), ("country", "is_not", ["Germany"], None),
    ("country", "one_of", ["France", "Germany"], "germany"), ("country", "none_of", ["France", "Germany"], "Spain"), ("country", "none_of", ["France"], ""),
    ("country", "contains", ["MAN"], "Germany"), ("country", "starts_with", ["ger"], "Germany"), ("country", "is_empty", [], None), ("country", "is_empty", [], ""),
    ("country", "is_not_empty", [], "x"), ("score", "is", ["7.0"], 7), ("score", "greater", ["5"], 5.5), ("score", "less", [5], -1), ("score", "is_not_empty", [], 0),
    ("stage", "is", ["New lead"], "lead"), ("stage", "one_of", ["LEAD", "won"], "won"), ("tags", "is", ["won"], ["lead", "won"]), ("tags", "is_not", ["won"], ["lead"]),
    ("tags", "is_empty", [], []), ("tags", "contains", ["wo"], ["lead", "won"]), ("born", "less", ["1990-01-01"], "1989-12-31"), ("born", "is", ["1990-01-01"], "1990-01-01"),
    ("seen", "greater", ["2026-11-24T09:30:00+01:00"], "2026-11-24T08:30:00.5Z"), ("seen", "less", ["2026-11-24"], "2026-11-23T23:59:59.9Z"),
    ("active", "is", ["yes"], True), ("active", "is", [False], False), ("active", "is_not", ["yes"], None), ("email", "contains", ["@EXAMPLE"], "ada@example.com"),
]  # fmt: skip
FAILS: list[tuple[str, str, list[Any], Any, str]] = [
    ("country", "is", ["Germany"], "France", "Country is not Germany"), ("country", "is", ["Germany"], None, "Country is not Germany"),
    ("country", "is_not", ["Germany"], "germany", "Country is Germany"), ("country", "one_of", ["Germany", "Spain"], "France", "Country is none of Germany, Spain"),
    ("country", "none_of", ["France", "Spain"], "France", "Country is one of France, Spain"), ("country", "contains", ["x"], "", "Country does not contain x"),
    ("country", "starts_with", ["x"], "ax", "Country does not start with x"), ("country", "is_empty", [], "x", "Country is not empty"), ("country", "is_not_empty", [], "", "Country is empty"),
    ("score", "greater", [5], 5, "Score is not greater than 5"), ("score", "less", ["5"], 5, "Score is not less than 5"), ("score", "greater", [5], None, "Score is not greater than 5"),
    ("score", "less", [5], "4", "Score is not less than 5"), ("stage", "is", ["won"], "lead", "Stage is not Won deal"), ("tags", "none_of", ["won"], ["lead", "won"], "Tags is one of Won deal"),
    ("active", "is", ["yes"], False, "Active is not yes"), ("born", "greater", ["1990-01-01"], "1990-01-01", "Born is not greater than 1990-01-01"),
    ("seen", "greater", ["2026-11-24"], "2026-11-24T00:00:00Z", "Seen is not greater than 2026-11-24T00:00:00Z"),
    ("seen", "less", ["2026-11-24"], "2026-11-24T00:00:00.1Z", "Seen is not less than 2026-11-24T00:00:00Z"),
    ("country", "one_of", list("abcdefg"), "x", "Country is none of a, b, c, d, e and 2 more"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "op", "values", "value"), PASSES, ids=repr)
def test_a_record_passes(field: str, op: str, values: list[Any], value: Any) -> None:
    assert said({field: value}, (field, op, values)) is None
    assert said({field: value}, (field, op, values, "exclude")) is not None


@pytest.mark.parametrize(("field", "op", "values", "value", "sentence"), FAILS, ids=repr)
def test_a_record_is_left_out_with_the_rule_that_did_it(field: str, op: str, values: list[Any], value: Any, sentence: str) -> None:  # fmt: skip
    assert said({field: value}, (field, op, values)) == sentence
    assert said({field: value}, (field, op, values, "exclude")) is None


def test_an_excluding_rule_says_what_is_true() -> None:
    assert said({"country": "France"}, ("country", "is", ["France"], "exclude")) == "Country is France"
    assert said({"score": 9}, ("score", "greater", [5], "exclude")) == "Score is greater than 5"
    assert said({}, ("country", "is_empty", [], "exclude")) == "Country is empty"


def test_all_that_include_and_none_that_exclude() -> None:
    rules = (("country", "is", ["Germany"]), ("score", "greater", [5]), ("stage", "is", ["won"], "exclude"))
    assert said({"country": "Germany", "score": 6, "stage": "lead"}, *rules) is None
    assert said({"country": "Germany", "score": 5, "stage": "lead"}, *rules) == "Score is not greater than 5"
    assert said({"country": "Germany", "score": 6, "stage": "won"}, *rules) == "Stage is Won deal"
    assert said({}) is None


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        (("nowhere", "is", ["a"]), "nowhere", "There is no field nowhere."), (("country", "like", ["a"]), "country", "Country: there is no comparison like."),
        (("country", "is", ["a"], "maybe"), "country", "Country: a filter includes or excludes."), (("country", "is", []), "country", "Country: this comparison takes one value."),
        (("country", "is", ["a", "b"]), "country", "Country: this comparison takes one value."), (("country", "one_of", []), "country", "Country: this comparison takes 1 to 200 values."),
        (("country", "one_of", ["a"] * (MAX_VALUES + 1)), "country", "Country: this comparison takes 1 to 200 values."), (("country", "is_empty", ["a"]), "country", "Country: this comparison takes no value."),
        (("country", "greater", ["a"]), "country", "Country has no order."), (("score", "is", ["many"]), "score", "Score: “many” is not a number."),
        (("stage", "one_of", ["won", "lost"]), "stage", "Stage: “lost” is none of lead, won."), (("country", "is", [""]), "country", "Country: “” is no value to compare with."),
        (("country", "contains", [{}]), "country", "Country: “{}” is no value to compare with."), (("born", "less", ["soon"]), "born", "Born: “soon” is not a date of the form 2026-11-24."),
    ],
    ids=lambda value: repr(value)[:50],
)  # fmt: skip
def test_a_filter_that_cannot_work_is_refused(rule: tuple[Any, ...], field: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        said({}, rule)
    (problem,) = caught.value.problems
    assert (problem.field, problem.message) == (field, message)
    assert problem.fix


def test_everything_wrong_is_said_at_once_and_there_is_an_end_to_filters() -> None:
    with pytest.raises(MappingError) as caught:
        said({}, ("nowhere", "is", ["a"]), ("country", "is", []), *[("country", "is", ["a"])] * MAX_FILTERS)
    assert [problem.field for problem in caught.value.problems] == ["nowhere", "country", ""]


def test_filters_are_stored_and_described() -> None:
    rule = Filter("stage", "one_of", ("lead", "won"), "exclude")
    assert filter_from_json(orjson.loads(orjson.dumps(rule.to_json()))) == rule
    assert describe_filter(rule, FIELDS[2]) == "Stage is one of New lead, Won deal"
    assert filter_from_json({"field": "a", "op": "is", "values": "x"}) == Filter("a", "is", ("x",))


@FIXED
@given(
    st.sampled_from(FIELDS),
    st.sampled_from(sorted(OPS)),
    st.lists(VALUE, max_size=3),
    VALUE | st.lists(VALUE, max_size=3),
)
def test_any_filter_takes_any_record(field: TargetField, op: str, values: list[Any], value: Any) -> None:
    outcomes = []
    for mode in ("include", "exclude"):
        try:
            outcomes.append(said({field.name: value}, (field.name, op, values, mode)))
        except MappingError:
            return
    assert (outcomes[0] is None) != (outcomes[1] is None)
