"""Declarative mapping: rules compiled once into closures, applied to every record, pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.sdk.expressions import PATH, compile_path
from connectors.sdk.fields import FieldInfo, TargetField, coercer, shorten
from connectors.sdk.transforms import TEXTS, TRANSFORMS

_PATH = re.compile(PATH)
MAX_RULES, MAX_TRANSFORMS, MAX_SOURCES = 200, 10, 10


@dataclass(frozen=True)
class Transform:
    """One step: a name of TRANSFORMS and its arguments."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How one field of the host is made."""

    target: str
    sources: tuple[str, ...]
    transforms: tuple[Transform, ...] = ()
    direction: str = "in"
    required: bool = False
    default: Any = None
    on_error: str = "fail_record"


@dataclass(frozen=True)
class FieldProblem:
    """Why a field has no value, in words for the customer; `fix` is what to change in the mapping."""

    field: str
    value: str
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Mapped:
    """The values of one record. `failed`: it must not be written."""

    values: dict[str, Any]
    problems: tuple[FieldProblem, ...]
    failed: bool


class MappingError(ValueError):
    """Rules that cannot be compiled; `problems` names each with its target and fix."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Compiled:
    target: str
    label: str
    read: Callable[[Any], Any]
    steps: tuple[tuple[Callable[[Any], Any], bool], ...]
    coerce: Callable[[Any], Any]
    default: Any
    required: bool
    fails: bool


class CompiledMapping:
    """Rules made ready; `apply` is called for every record."""

    def __init__(self, rules: Sequence[_Compiled]) -> None:
        self._rules = [(r, r.target, r.read, r.steps, r.coerce, r.default, r.required) for r in rules]

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the fields that get a value."""
        return tuple(rule[1] for rule in self._rules)

    def apply(self, data: dict[str, Any]) -> Mapped:
        """Return the values of one record's data; a bad value is a problem, never an exception."""
        values: dict[str, Any] = {}
        problems: list[FieldProblem] = []
        failed = False
        for rule, target, read, steps, coerce, default, required in self._rules:
            value = source = read(data)
            try:
                for step, sees_empty in steps:
                    # Only joins, first-of and defaults see an empty value; the others have nothing to do with one.
                    if value is not None or sees_empty:
                        value = step(value)
                if value is None or value == "":
                    value = default
                if value is not None:
                    values[target] = coerce(value)
                elif required:
                    failed = True
                    problems.append(FieldProblem(target, "", f"{rule.label} is empty, but it is required."))
                else:
                    values[target] = None
            except (ValueError, TypeError, OverflowError) as error:
                failed = failed or rule.fails or required
                reason = str(error) if isinstance(error, ValueError) else "cannot be converted"
                shown = shorten(source)
                problems.append(FieldProblem(target, shown, f"{rule.label}: “{shown}” {reason}."))
        return Mapped(values, tuple(problems), failed)


def compile_mapping(rules: Sequence[Rule], fields: Sequence[TargetField]) -> CompiledMapping:
    """Check rules against the host's fields and return them compiled; MappingError names every problem."""
    known = {target.name: target for target in fields}
    problems: list[FieldProblem] = []
    compiled = []
    used: set[str] = set()
    for rule in rules:
        problem = _check(rule, known, used)
        if problem:
            problems.append(problem)
            continue
        used.add(rule.target)
        if rule.direction not in ("in", "both"):
            continue
        try:
            compiled.append(_compile(rule, known[rule.target]))
        except (ValueError, KeyError, TypeError) as error:
            problems.append(
                FieldProblem(rule.target, "", f"A transform does not fit: {error}.", "Correct its settings.")
            )
    problems.extend(
        FieldProblem(target.name, "", f"{target.label} is required and has no source.", "Map it.")
        for target in fields
        if target.required and target.name not in used
    )
    if len(rules) > MAX_RULES:
        problems.append(FieldProblem("", "", f"There are more than {MAX_RULES} rules.", "Take some away."))
    if problems:
        raise MappingError(problems)
    return CompiledMapping(compiled)


def _check(rule: Rule, known: Mapping[str, TargetField], used: set[str]) -> FieldProblem | None:
    if rule.target not in known:
        return FieldProblem(rule.target, "", f"There is no field {rule.target}.", "Choose another field.")
    label = known[rule.target].label
    if rule.target in used:
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
    return None


def _compile(rule: Rule, target: TargetField) -> _Compiled:
    infos = [(TRANSFORMS[step.name], step.args) for step in rule.transforms]
    steps = []
    for position, (info, args) in enumerate(infos):
        filled = {a.name: args.get(a.name) for a in info.arguments}
        filled |= {
            a.name: a.default for a in info.arguments if filled[a.name] is None or (a.choices and not filled[a.name])
        }
        missing = [a.label for a in info.arguments if a.required and filled[a.name] is None]
        if missing:
            raise ValueError(f"“{info.label}” needs {', '.join(missing)}")
        strange = [a.label for a in info.arguments if a.choices and filled[a.name] not in a.choices]
        if strange:
            raise ValueError(f"“{info.label}” knows no such {', '.join(strange)}")
        if info.takes_all and position:
            raise ValueError(f"“{info.label}” must come first")
        steps.append((info.make(filled), info.name in ("default", "concat", "coalesce")))
    readers = [compile_path(source) for source in rule.sources]
    joined = bool(infos) and infos[0][0].takes_all
    if len(readers) > 1 and not joined:
        steps.insert(0, (TRANSFORMS["concat"].make({"separator": " "}), True))
        joined = True

    def read_all(data: Any) -> list[Any]:
        return [reader(data) for reader in readers]

    def read_none(_data: Any) -> None:
        return None

    read: Callable[[Any], Any] = read_all if joined else readers[0] if readers else read_none
    return _Compiled(
        rule.target, target.label, read, tuple(steps), coercer(target), rule.default,
        rule.required or target.required, rule.on_error == "fail_record",
    )  # fmt: skip


def rules_to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return rules as JSON."""
    return [
        {
            "target": rule.target, "sources": list(rule.sources),
            "transforms": [{"name": step.name, "args": dict(step.args)} for step in rule.transforms],
            "direction": rule.direction, "required": rule.required, "default": rule.default, "on_error": rule.on_error,
        }
        for rule in rules
    ]  # fmt: skip


def rules_from_json(rules: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """Return rules from their JSON form."""
    return [
        Rule(
            target=rule["target"],
            sources=tuple(rule.get("sources", ())),
            transforms=tuple(Transform(s["name"], s.get("args") or {}) for s in rule.get("transforms", ())),
            direction=rule.get("direction", "in"),
            required=bool(rule.get("required")),
            default=rule.get("default"),
            on_error=rule.get("on_error") or "fail_record",
        )
        for rule in rules
    ]


_FITS: dict[str, tuple[str, ...]] = {
    "text": (*TEXTS, "number", "integer", "flag", "date", "datetime"),
    "long_text": (*TEXTS, "number", "integer", "flag", "date", "datetime"),
    "phone": TEXTS, "reference": (*TEXTS, "integer"), "email": ("email",), "url": ("url",),
    "number": ("number", "integer"), "integer": ("integer",), "flag": ("flag",), "date": ("date", "datetime"),
    "datetime": ("datetime", "date"), "choice": ("choice",), "multi_choice": ("multi_choice", "choice"),
}  # fmt: skip


def fits(source_type: str, target_type: str) -> bool:
    """Whether values of one type can be written to a field of another as they are."""
    return target_type == "json" or source_type == target_type or source_type in _FITS.get(target_type, ())


def suggest_transform(source_type: str, target_type: str) -> Transform | None:
    """Return the transform that makes a source type fit a target type, None when none is needed or known."""
    if fits(source_type, target_type):
        return None
    if target_type in ("number", "integer") and source_type in TEXTS:
        return Transform("number", {"decimal": "."})
    if target_type == "flag":
        return Transform("boolean", {})
    if target_type in ("date", "datetime") and source_type in (*TEXTS, "number", "integer"):
        pattern = "epoch_s" if source_type in ("number", "integer") else "YYYY-MM-DD"
        return Transform("date_parse", {"format": pattern})
    if target_type == "choice":
        return Transform("value_table", {"table": {}, "otherwise": "keep"})
    if target_type == "email":
        return Transform("trim", {})
    return None


_PLAIN = re.compile(r"[^a-z0-9]")


def suggest_rules(sources: Sequence[FieldInfo], targets: Sequence[TargetField]) -> list[Rule]:
    """Return a rule for every target whose name or label is that of a source, spelling aside."""
    by_name: dict[str, FieldInfo] = {}
    for source in sources:
        for name in (source.name.rsplit(".", 1)[-1], source.label):
            by_name.setdefault(_PLAIN.sub("", name.lower()), source)
    rules = []
    for target in targets:
        names = (_PLAIN.sub("", name.lower()) for name in (target.name, target.label))
        found = next((by_name[name] for name in names if name in by_name), None)
        if found:
            step = suggest_transform(found.type, target.type)
            rules.append(Rule(target.name, (found.name,), (step,) if step else ()))
    return rules
