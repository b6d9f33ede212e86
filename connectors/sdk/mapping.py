"""Declarative mapping: rules compiled once into closures, applied to every record both ways, pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from connectors.sdk.expressions import PATH
from connectors.sdk.fields import FieldInfo, TargetField
from connectors.sdk.inbound import InRule, compile_in
from connectors.sdk.mapping_types import (
    CONFLICTS,
    DIRECTIONS,
    FieldProblem,
    Mapped,
    MappingError,
    Outbound,
    Rule,
    flows,
)
from connectors.sdk.outbound import NoWayOutError, OutRule, compile_out, overlapping
from connectors.sdk.transforms import TRANSFORMS

_PATH = re.compile(PATH)
MAX_RULES, MAX_TRANSFORMS, MAX_SOURCES = 200, 10, 10
# What a value that does not fit is reported by; anything else is an error of ours.
_REFUSALS = (ValueError, TypeError, OverflowError)


class CompiledMapping:
    """Rules made ready. `apply` makes the host's values of a record, `outgoing` the other side's of the host's.

    `targets`: all fields that `apply` computes. `incoming_targets`: those of them that may change the host's record;
    the others are there to be matched and compared. `outgoing_targets`: the host's fields that flow out. `policies`:
    field -> its own policy for conflicts. `needed`: fields without a fitting value for which a record is not written.
    """

    def __init__(self, incoming: Sequence[InRule], outgoing: Sequence[OutRule], policies: Mapping[str, str]) -> None:
        self._in, self._out = tuple(incoming), tuple(outgoing)
        self._makers = tuple((rule.target, rule.make) for rule in incoming)
        self._required = tuple(rule.target for rule in incoming if rule.required)
        self.needed = frozenset(rule.target for rule in incoming if rule.taken and (rule.fails or rule.required))
        self.targets = tuple(rule.target for rule in incoming)
        self.incoming_targets = tuple(rule.target for rule in incoming if rule.taken)
        self.outgoing_targets = tuple(rule.target for rule in outgoing)
        self.policies = dict(policies)

    def apply(self, data: dict[str, Any]) -> Mapped:
        """Return the values of one record's data; a bad value is a problem, never an exception.

        A field that only flows out and whose value does not fit is left out and fails nothing.
        """
        # Nearly every record is good; only one that is not is gone through field by field.
        values = {}
        try:
            for target, make in self._makers:
                values[target] = make(data)
        except _REFUSALS:
            return self._apply_each(data)
        for target in self._required:
            if values[target] is None:
                return self._apply_each(data)
        return Mapped(values, (), failed=False)

    def _apply_each(self, data: dict[str, Any]) -> Mapped:
        values: dict[str, Any] = {}
        problems: list[FieldProblem] = []
        failed = False
        for rule in self._in:
            try:
                value = rule.make(data)
            except _REFUSALS as error:
                failed = failed or rule.target in self.needed
                problems.append(rule.problem(data, error))
                continue
            if value is None and rule.required:
                failed = True
                problems.append(FieldProblem(rule.target, "", f"{rule.label} is empty, but it is required."))
            else:
                values[rule.target] = value
        return Mapped(values, tuple(problems), failed)

    def outgoing(self, values: Mapping[str, Any], only: Collection[str] | None = None) -> Outbound:
        """Return what the host's values are at the other side, by path; a bad value is a problem, never an exception.

        With `only`, the fields of these names are sent and one that is missing is cleared; without, all that `values`
        holds. Nothing (None or an empty text) is sent as None.
        """
        fields: dict[str, Any] = {}
        problems: list[FieldProblem] = []
        failed = False
        for rule in self._out:
            if rule.target not in (values if only is None else only):
                continue
            value = values.get(rule.target)
            try:
                fields |= rule.make(value)
            except _REFUSALS as error:
                failed = failed or rule.fails
                problems.append(rule.problem(value, error))
        return Outbound(fields, tuple(problems), failed)


def compile_mapping(
    rules: Sequence[Rule], fields: Sequence[TargetField], *, direction: str = "in", sources: Sequence[FieldInfo] = ()
) -> CompiledMapping:
    """Check rules against the host's fields and return them compiled; MappingError names every problem.

    `direction` is the stream's (in, out or both): a field flows a way when its rule and the stream allow it. A rule
    that is off is checked by name only. With the other side's fields as `sources`, outgoing values take their types.
    """
    known = {target.name: target for target in fields}
    infos = {info.name: info for info in sources}
    problems: list[FieldProblem] = []
    incoming: list[InRule] = []
    outgoing: list[OutRule] = []
    seen: set[str] = set()
    for rule in rules:
        problem = _check(rule, known, seen)
        if problem:
            problems.append(problem)
            continue
        seen.add(rule.target)
        if rule.direction == "off":
            continue
        try:
            taken = flows(rule.direction, "in") and flows(direction, "in")
            incoming.append(compile_in(rule, known[rule.target], taken=taken))
            # Whether a rule can flow out does not hang on the stream, which may be turned round without a new mapping.
            if flows(rule.direction, "out"):
                outgoing.append(compile_out(rule, known[rule.target], infos))
        except NoWayOutError as error:
            problems.append(FieldProblem(rule.target, "", str(error), error.fix))
        except (ValueError, KeyError, TypeError) as error:
            problems.append(
                FieldProblem(rule.target, "", f"A transform does not fit: {error}.", "Correct its settings.")
            )
    problems += _clashes(outgoing)
    if flows(direction, "in"):
        taking = {rule.target for rule in rules if flows(rule.direction, "in")} | {p.field for p in problems}
        problems += [_missing(target, seen) for target in fields if target.required and target.name not in taking]
    if len(rules) > MAX_RULES:
        problems.append(FieldProblem("", "", f"There are more than {MAX_RULES} rules.", "Take some away."))
    if problems:
        raise MappingError(problems)
    policies = {rule.target: rule.conflict for rule in rules if rule.conflict and rule.direction != "off"}
    return CompiledMapping(incoming, outgoing if flows(direction, "out") else (), policies)


def _missing(target: TargetField, seen: Collection[str]) -> FieldProblem:
    if target.name in seen:
        return FieldProblem(target.name, "", f"{target.label} is required and does not flow in.", "Let it flow in.")
    return FieldProblem(target.name, "", f"{target.label} is required and has no source.", "Map it.")


def _clashes(rules: Sequence[OutRule]) -> list[FieldProblem]:
    """Return the rules that would write where another one writes already."""
    written: dict[str, OutRule] = {}
    problems = []
    for rule in rules:
        for path in rule.paths:
            other = overlapping(path, written)
            if other is not None:
                message = f"{written[other].label} and {rule.label} both flow out to {path}."
                problems.append(FieldProblem(rule.target, path, message, "Let one of them only flow in."))
                break
        else:
            written |= dict.fromkeys(rule.paths, rule)
    return problems


def _check(rule: Rule, known: Mapping[str, TargetField], seen: set[str]) -> FieldProblem | None:
    if rule.target not in known:
        return FieldProblem(rule.target, "", f"There is no field {rule.target}.", "Choose another field.")
    label = known[rule.target].label
    if rule.target in seen:
        return FieldProblem(rule.target, "", f"{label} is mapped twice.", "Take one of the two away.")
    if not rule.sources and rule.default is None:
        return FieldProblem(rule.target, "", f"{label} has no source.", "Choose a field or give a default.")
    if len(rule.sources) > MAX_SOURCES or len(rule.transforms) > MAX_TRANSFORMS:
        return FieldProblem(rule.target, "", f"{label} has too many sources or transforms.", "Take some away.")
    wrong = next((source for source in rule.sources if not _PATH.fullmatch(source)), None)
    if wrong is not None:
        return FieldProblem(rule.target, wrong, f"{label}: {wrong} is not a field name.", "Choose a field.")
    unknown = next((step.name for step in rule.transforms if step.name not in TRANSFORMS), None)
    if unknown is not None:
        return FieldProblem(rule.target, unknown, f"{label}: there is no transform {unknown}.", "Choose another.")
    if rule.direction not in DIRECTIONS:
        return FieldProblem(rule.target, rule.direction, f"{label} has no such direction.", "Choose another.")
    if rule.conflict is not None and rule.conflict not in CONFLICTS:
        return FieldProblem(rule.target, rule.conflict, f"{label} has no such policy for conflicts.", "Choose another.")
    return None
