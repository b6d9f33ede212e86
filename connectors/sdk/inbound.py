"""The way in: one rule made into one function from a record's data to the host's value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.sdk.expressions import compile_path
from connectors.sdk.fields import TargetField, coercer, shorten
from connectors.sdk.mapping_types import FieldProblem, Rule
from connectors.sdk.steps import Step
from connectors.sdk.transforms import TRANSFORMS, arguments_of

Make = Callable[[dict[str, Any]], Any]
# Only joins, first-of and defaults see an empty value; the others have nothing to do with one.
_SEE_EMPTY = ("default", "concat", "coalesce")


@dataclass(frozen=True)
class InRule:
    """A rule ready to make its value. `taken` is whether the value may change the host's record."""

    target: str
    label: str
    make: Make
    read: Make
    required: bool
    fails: bool
    taken: bool

    def problem(self, data: dict[str, Any], error: Exception) -> FieldProblem:
        """Return what is said of a record whose value does not fit."""
        shown = shorten(self.read(data))
        reason = str(error) if isinstance(error, ValueError) else "cannot be converted"
        return FieldProblem(self.target, shown, f"{self.label}: “{shown}” {reason}.")


def compile_in(rule: Rule, target: TargetField, *, taken: bool) -> InRule:
    """Return a rule made ready; ValueError says which transform does not fit."""
    steps: list[tuple[Step, bool]] = []
    for position, step in enumerate(rule.transforms):
        info = TRANSFORMS[step.name]
        arguments = arguments_of(step)
        if info.takes_all and position:
            raise ValueError(f"“{info.label}” must come first")
        steps.append((info.make(arguments), info.name in _SEE_EMPTY))
    joined = bool(rule.transforms) and TRANSFORMS[rule.transforms[0].name].takes_all
    if len(rule.sources) > 1 and not joined:
        steps.insert(0, (TRANSFORMS["concat"].make({"separator": " "}), True))
        joined = True
    read = _reader(rule.sources, joined=joined)
    return InRule(
        rule.target, target.label, _maker(read, steps, coercer(target), rule.default), read,
        required=taken and (rule.required or target.required), fails=rule.on_error == "fail_record", taken=taken,
    )  # fmt: skip


def _reader(sources: Sequence[str], *, joined: bool) -> Make:
    readers = [compile_path(source) for source in sources]
    if joined:
        return lambda data: [reader(data) for reader in readers]
    return readers[0] if readers else lambda _data: None


def _maker(read: Make, steps: Sequence[tuple[Step, bool]], coerce: Step, default: Any) -> Make:
    if not steps:
        change: Step | None = None
    elif len(steps) == 1:
        change = steps[0][0]
    else:
        change = _chain(steps)
    sees_empty = any(sees for _, sees in steps)

    def plain(data: dict[str, Any]) -> Any:
        value = read(data)
        if value is None or value == "":
            return None if default is None else coerce(default)
        return coerce(value)

    def changed(data: dict[str, Any]) -> Any:
        value = read(data)
        if value is not None or sees_empty:
            value = change(value)  # type: ignore[misc]  # there is one, or `plain` is taken
        if value is None or value == "":
            return None if default is None else coerce(default)
        return coerce(value)

    return changed if change else plain


def _chain(steps: Sequence[tuple[Step, bool]]) -> Step:
    if len(steps) == 2 and not (steps[0][1] or steps[1][1]):
        first, second = steps[0][0], steps[1][0]

        def both(value: Any) -> Any:
            value = first(value)
            return None if value is None else second(value)

        return both

    def run(value: Any) -> Any:
        for step, sees_empty in steps:
            if value is not None or sees_empty:
                value = step(value)
        return value

    return run
