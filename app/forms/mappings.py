"""The forms of a row of the mapping editor, read into a rule. What was typed is kept, whatever is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from werkzeug.datastructures import MultiDict

from connectors.sdk import TRANSFORMS, Rule, Transform
from connectors.sdk.transforms import Argument

Sent = MultiDict[str, str]
CONFLICTS = ("ask", "theirs", "ours", "newest")


@dataclass
class RowForm:
    """What was sent for one row. `rule` is what it means, None to map nothing; `errors` by the name of the input."""

    rule: Rule | None
    part: str = ""
    typed: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def read_row(target: str, sent: Sent, present: Rule | None) -> RowForm:
    """Return what the form of a row says; `part` is the one that was open and `do` the button that was pressed."""
    part, pressed = sent.get("part", ""), sent.get("do", "save")
    if pressed == "remove":
        return RowForm(None)
    rule = present or Rule(target, ())
    if pressed.startswith("direction-"):
        return RowForm(replace(rule, direction=pressed.removeprefix("direction-")), part)
    found = RowForm(rule, part)
    if "source" in sent:
        _read_sources(found, sent)
    if "settings" in sent:
        _read_settings(found, sent)
    steps = list(found.rule.transforms) if found.rule else []
    if part.startswith("step-"):
        steps = _read_step(found, steps, int(part[5:]) if part[5:].isdigit() else -1, pressed, sent)
    added = sent.get("add", "")
    if added in TRANSFORMS:
        steps = _add(steps, added)
    if found.rule is not None:
        found.rule = replace(found.rule, transforms=tuple(_fit_join(steps, len(found.rule.sources))))
    return found


def _read_sources(found: RowForm, sent: Sent) -> None:
    names = tuple(dict.fromkeys(name for name in sent.getlist("source") if name))
    default = sent.get("default", "").strip() if "default" in sent else (found.rule and found.rule.default)
    if not names and not default:
        found.rule = None
    elif found.rule is not None:
        found.rule = replace(found.rule, sources=names)


def _read_settings(found: RowForm, sent: Sent) -> None:
    if found.rule is None:
        return
    conflict = sent.get("conflict", "")
    found.rule = replace(
        found.rule, required="required" in sent, default=sent.get("default", "").strip() or None,
        on_error="skip_field" if sent.get("on_error") == "skip_field" else "fail_record",
        conflict=conflict if conflict in CONFLICTS else None,
    )  # fmt: skip


def _read_step(found: RowForm, steps: list[Transform], number: int, pressed: str, sent: Sent) -> list[Transform]:
    if not 0 <= number < len(steps):
        return steps
    if pressed == "drop":
        found.part = ""
        return steps[:number] + steps[number + 1 :]
    steps[number] = _arguments(found, steps[number], sent)
    to = number + {"earlier": -1, "later": 1}.get(pressed, 0)
    if to != number and 0 <= to < len(steps):
        steps[number], steps[to] = steps[to], steps[number]
        found.part = f"step-{to}"
    return steps


def _arguments(found: RowForm, step: Transform, sent: Sent) -> Transform:
    args: dict[str, Any] = dict(step.args)
    for argument in TRANSFORMS[step.name].arguments:
        if argument.kind == "table":
            args[argument.name] = _table(sent, argument.name)
        elif f"arg-{argument.name}" in sent:
            text = sent[f"arg-{argument.name}"]
            found.typed[f"arg-{argument.name}"] = text
            args[argument.name] = _argument(found, argument, text)
    return Transform(step.name, args)


def _argument(found: RowForm, argument: Argument, text: str) -> Any:
    name = f"arg-{argument.name}"
    if argument.kind == "integer":
        if text.strip().lstrip("-").isdecimal():
            return int(text)
        if text.strip() or argument.required:
            found.errors[name] = "Give a whole number."
        return argument.default
    if argument.required and not argument.choices and text == "":
        found.errors[name] = f"“{argument.label}” is missing."
    return text


def _table(sent: Sent, name: str) -> dict[str, str]:
    pairs = zip(sent.getlist(f"arg-{name}-theirs"), sent.getlist(f"arg-{name}-ours"), strict=False)
    return {theirs.strip(): ours.strip() for theirs, ours in pairs if theirs.strip() and ours.strip()}


def _add(steps: Sequence[Transform], name: str) -> list[Transform]:
    info = TRANSFORMS[name]
    # A table is empty at first: the example's values are of no use to anybody.
    args = {a.name: {} if a.kind == "table" else info.example_args.get(a.name, a.default) for a in info.arguments}
    step = Transform(name, {key: value for key, value in args.items() if value is not None})
    return [step, *steps] if info.takes_all else [*steps, step]


def _fit_join(steps: list[Transform], sources: int) -> list[Transform]:
    """Several fields are joined unless something else takes them all; a single one is not."""
    if sources > 1 and not any(TRANSFORMS[step.name].takes_all for step in steps):
        return [Transform("concat", {"separator": " "}), *steps]
    if sources <= 1:
        return [step for step in steps if step.name not in ("concat", "coalesce")]
    return steps


def added_step(rule: Rule, name: str) -> int | None:
    """Return the number of the step that was just added, None where there is nothing to set about it."""
    if name not in TRANSFORMS or not TRANSFORMS[name].arguments:
        return None
    return 0 if TRANSFORMS[name].takes_all else len(rule.transforms) - 1
