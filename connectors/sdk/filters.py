"""Filters: which of the host's records a stream syncs, by their values. Pure; compiled once like a mapping.

A record passes when it meets every rule that includes and none that excludes. The same functions say in words which
rule left a record out.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import gt, lt
from typing import Any

from connectors.sdk.fields import TargetField, coercer, shorten
from connectors.sdk.mapping_types import FieldProblem, MappingError

Test = Callable[[Any], bool]
MAX_FILTERS, MAX_VALUES = 50, 200
_COUNTS = {"none": (0, 0, "no value"), "one": (1, 1, "one value"), "many": (1, MAX_VALUES, f"1 to {MAX_VALUES} values")}
MODES = ("include", "exclude")
# Operator -> how many values it takes, and its words when it holds and when it does not.
OPS: dict[str, tuple[str, str, str]] = {
    "is": ("one", "is {}", "is not {}"), "is_not": ("one", "is not {}", "is {}"),
    "one_of": ("many", "is one of {}", "is none of {}"), "none_of": ("many", "is none of {}", "is one of {}"),
    "contains": ("one", "contains {}", "does not contain {}"),
    "starts_with": ("one", "starts with {}", "does not start with {}"),
    "is_empty": ("none", "is empty", "is not empty"), "is_not_empty": ("none", "is not empty", "is empty"),
    "greater": ("one", "is greater than {}", "is not greater than {}"),
    "less": ("one", "is less than {}", "is not less than {}"),
}  # fmt: skip
_ORDERED = ("number", "integer", "date", "datetime")
_UNTYPED = ("contains", "starts_with")


@dataclass(frozen=True)
class Filter:
    """One rule of a filter: a host's field, an operator of OPS, its values, and whether it includes or excludes."""

    field: str
    op: str
    values: tuple[Any, ...] = ()
    mode: str = "include"

    def to_json(self) -> dict[str, Any]:
        """Return the filter as it is stored."""
        return {"field": self.field, "op": self.op, "values": list(self.values), "mode": self.mode}


def filter_from_json(data: Mapping[str, Any]) -> Filter:
    """Return a filter from its stored form, whatever that holds; `compile_filters` says what is wrong with it."""
    values = data.get("values")
    listed = values if isinstance(values, list | tuple) else () if values is None else (values,)
    return Filter(
        str(data.get("field", "")), str(data.get("op", "")), tuple(listed), str(data.get("mode") or "include")
    )


def compile_filters(
    filters: Sequence[Mapping[str, Any]], fields: Sequence[TargetField]
) -> Callable[[Mapping[str, Any]], str | None]:
    """Return a function from a record's values to None when it passes, else to the sentence why it is left out.

    MappingError names every filter of an unknown field or operator and every value that does not fit its field.
    """
    known = {field.name: field for field in fields}
    rules = [filter_from_json(data) for data in filters]
    problems = [problem for rule in rules if (problem := _check(rule, known.get(rule.field)))]
    if len(rules) > MAX_FILTERS:
        problems.append(FieldProblem("", "", f"There are more than {MAX_FILTERS} filters.", "Take some away."))
    if problems:
        raise MappingError(problems)
    compiled = []
    for rule in rules:
        field, wanted = known[rule.field], rule.mode == "include"
        compiled.append((rule.field, _test(rule, field), wanted, describe_filter(rule, field, holds=not wanted)))

    def left_out(values: Mapping[str, Any]) -> str | None:
        for name, test, wanted, sentence in compiled:
            if test(values.get(name)) != wanted:
                return sentence
        return None

    return left_out


def describe_filter(rule: Filter, field: TargetField, *, holds: bool = True) -> str:
    """Return a filter in words, as “Country is Germany”; with `holds` False, what is said of a record it is not true of."""
    _, words, otherwise = OPS[rule.op]
    labels = {choice.value: choice.label for choice in field.choices}
    named = [_named(value, labels, field) for value in rule.values]
    listed = f"{', '.join(named[:5])} and {len(named) - 5} more" if len(named) > 5 else ", ".join(named)
    return f"{field.label} {(words if holds else otherwise).format(listed)}"


def _named(value: Any, labels: Mapping[str, str], field: TargetField) -> str:
    with suppress(ValueError, TypeError, OverflowError):  # a piece of a value, as in “contains”, stays as it is
        value = coercer(field)(value)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return labels.get(str(value), shorten(value))


def _check(rule: Filter, field: TargetField | None) -> FieldProblem | None:
    if field is None:
        return FieldProblem(rule.field, "", f"There is no field {shorten(rule.field)}.", "Choose another field.")
    if rule.op not in OPS:
        return FieldProblem(
            rule.field, rule.op, f"{field.label}: there is no comparison {shorten(rule.op)}.", "Choose another."
        )
    if rule.mode not in MODES:
        return FieldProblem(rule.field, rule.mode, f"{field.label}: a filter includes or excludes.", "Choose one.")
    if rule.op in ("greater", "less") and field.type not in _ORDERED:
        return FieldProblem(rule.field, rule.op, f"{field.label} has no order.", "Choose another comparison.")
    return _check_values(rule, field)


def _check_values(rule: Filter, field: TargetField) -> FieldProblem | None:
    few, many, said = _COUNTS[OPS[rule.op][0]]
    if not few <= len(rule.values) <= many:
        return FieldProblem(rule.field, "", f"{field.label}: this comparison takes {said}.", "Correct its values.")
    for value in rule.values:
        try:
            _wanted(rule, field, value)
        except (ValueError, TypeError, OverflowError) as error:
            shown = shorten(value)
            return FieldProblem(rule.field, shown, f"{field.label}: “{shown}” {error}.", "Correct the value.")
    return None


def _wanted(rule: Filter, field: TargetField, value: Any) -> Any:
    """Return a filter's value as values are compared; ValueError when it does not fit the field."""
    if value is None or value == "" or isinstance(value, dict | list):
        raise ValueError("is no value to compare with")
    if rule.op in _UNTYPED:
        return str(value).casefold()
    made = coercer(field)(value)
    return _plain(made[0] if isinstance(made, list) else made)


def _plain(value: Any) -> Any:
    return value.strip().casefold() if isinstance(value, str) else value


def _each(value: Any) -> list[Any]:
    """Return the values of a field to compare: none of an empty one, several of a list."""
    if value is None or value == "":
        return []
    return [_plain(item) for item in value] if isinstance(value, list) else [_plain(value)]


def _test(rule: Filter, field: TargetField) -> Test:
    wanted = [_wanted(rule, field, value) for value in rule.values]
    if rule.op == "is_empty":
        return lambda value: not _each(value)
    if rule.op == "is_not_empty":
        return lambda value: bool(_each(value))
    if rule.op in ("is", "one_of"):
        return lambda value: any(item in wanted for item in _each(value))
    if rule.op in ("is_not", "none_of"):
        return lambda value: all(item not in wanted for item in _each(value))
    (limit,) = wanted
    if rule.op == "contains":
        return lambda value: any(limit in str(item) for item in _each(value))
    if rule.op == "starts_with":
        return lambda value: any(str(item).startswith(limit) for item in _each(value))
    compare = gt if rule.op == "greater" else lt
    if isinstance(limit, str):
        end = limit.removesuffix("z")
        return lambda value: any(isinstance(i, str) and compare(i.removesuffix("z"), end) for i in _each(value))
    return lambda value: any(type(item) in (int, float) and compare(item, limit) for item in _each(value))
