"""The way out: one rule turned round, from the host's value to the other side's, by path."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.sdk.fields import FieldInfo, TargetField, coercer, shorten
from connectors.sdk.inverses import Ends
from connectors.sdk.mapping_types import FieldProblem, Rule, Transform
from connectors.sdk.steps import Step
from connectors.sdk.transforms import TRANSFORMS, arguments_of

_INDEX = re.compile(r"(.*\.)?[0-9]{1,9}(\..*)?")


class NoWayOutError(ValueError):
    """A rule that cannot be turned round; the message is a sentence, `fix` what to do besides choosing direction in."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.fix = f"Choose direction in{f', or {fix}' if fix else ''}."


@dataclass(frozen=True)
class OutRule:
    """A rule ready to make the other side's values. Where it has several paths, `steps` end in a list."""

    target: str
    label: str
    paths: tuple[str, ...]
    steps: tuple[Step, ...]
    shapes: tuple[Callable[[Any], Any], ...]
    many: bool
    fails: bool

    def make(self, value: Any) -> dict[str, Any]:
        """Return the value of each path; nothing of ours is nothing there. ValueError when it cannot be written."""
        if value is None or value == "":
            return dict.fromkeys(self.paths)
        for step in self.steps:
            value = step(value)
        parts = value if self.many else [value]
        parts = [*parts, *[None] * (len(self.paths) - len(parts))]
        return {
            path: None if part is None else shape(part)
            for path, shape, part in zip(self.paths, self.shapes, parts, strict=True)
        }

    def problem(self, value: Any, error: Exception) -> FieldProblem:
        """Return what is said of a value that cannot be written there."""
        shown = shorten(value)
        reason = str(error) if isinstance(error, ValueError) else "cannot be converted"
        return FieldProblem(self.target, shown, f"{self.label}: “{shown}” {reason}.")


def compile_out(rule: Rule, target: TargetField, sources: Mapping[str, FieldInfo]) -> OutRule:
    """Return a rule turned round. `sources` says what is known of the other side's fields. NoWayOutError says why not."""
    if not rule.sources:
        raise NoWayOutError(f"{target.label} is a fixed value and can only flow in.", "choose a field")
    listed = next((source for source in rule.sources if _INDEX.fullmatch(source)), None)
    if listed:
        raise NoWayOutError(f"{listed} is a place in a list: {target.label} can only flow in.", "choose another field")
    infos = [sources.get(source) for source in rule.sources]
    ends = Ends(tuple(info.type if info else "" for info in infos), coercer(target))
    transforms = rule.transforms
    many = bool(transforms) and TRANSFORMS[transforms[0].name].takes_all
    if len(rule.sources) > 1 and not many:
        transforms, many = (Transform("concat", {"separator": " "}), *transforms), True
    steps = tuple(_inverse(step, target.label, ends) for step in reversed(transforms))
    # What takes the first of several fields writes that one alone.
    paths = rule.sources[:1] if many and transforms[0].name == "coalesce" else rule.sources
    shapes = tuple(_shape(info) for info in infos[: len(paths)])
    return OutRule(rule.target, target.label, paths, steps, shapes, many, fails=rule.on_error == "fail_record")


def _inverse(step: Transform, label: str, ends: Ends) -> Step:
    info = TRANSFORMS[step.name]
    start = f"“{info.label}” cannot be turned round: {label} can only flow in."
    if info.invert is None:
        raise NoWayOutError(f"{start} {info.no_inverse}", "take the transform away")
    try:
        return info.invert(arguments_of(step), ends)
    except ValueError as error:
        raise NoWayOutError(f"{start} {error}", "change its settings") from None


def _shape(info: FieldInfo | None) -> Callable[[Any], Any]:
    if info is None:
        return lambda value: value
    return coercer(TargetField(info.name, info.label, info.type, choices=info.choices))


def paths_out(rule: Rule, sources: Mapping[str, FieldInfo]) -> tuple[str, ...]:
    """Return what a rule writes when it is turned round, nothing when it cannot be or a field is not to be written."""
    try:
        paths = compile_out(rule, TargetField(rule.target, rule.target, "json"), sources).paths
    except (ValueError, KeyError, TypeError):
        return ()
    writable = all(path in sources and not sources[path].read_only for path in paths)
    return paths if writable else ()


def overlapping(path: str, written: Iterable[str]) -> str | None:
    """Return the path among those written that is this one, holds it or is held by it."""
    return next((at for at in written if at == path or at.startswith(f"{path}.") or path.startswith(f"{at}.")), None)
