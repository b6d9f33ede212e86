"""The mapping editor's row form, read into a rule."""

from collections.abc import Mapping
from typing import Any

from connectors.sdk import TRANSFORMS, Rule, Transform


def read_rule(target: str, sent: Mapping[str, str], present: Rule | None) -> Rule:
    """Return the rule that a row's form describes; `do` says which button was pressed."""
    sources = tuple(name for name in (sent.get("source", ""), sent.get("source2", "")) if name)
    steps = [_step(step, index, sent) for index, step in enumerate(present.transforms if present else ())]
    pressed = sent.get("do", "save")
    if pressed.startswith("drop-"):
        number = int(pressed[5:]) if pressed[5:].isdigit() else -1
        steps = [step for index, step in enumerate(steps) if index != number]
    added = sent.get("add", "")
    if added in TRANSFORMS:
        info = TRANSFORMS[added]
        args = {a.name: info.example_args.get(a.name, a.default) for a in info.arguments}
        step = Transform(added, {k: v for k, v in args.items() if v is not None})
        steps = [step, *steps] if info.takes_all else [*steps, step]
    if len(sources) > 1 and not any(TRANSFORMS[step.name].takes_all for step in steps):
        steps = [Transform("concat", {"separator": " "}), *steps]
    return Rule(
        target, sources, tuple(steps), required=bool(present and present.required),
        default=sent.get("default") or None,
        on_error="skip_field" if sent.get("on_error") == "skip_field" else "fail_record",
    )  # fmt: skip


def _step(step: Transform, index: int, sent: Mapping[str, str]) -> Transform:
    args: dict[str, Any] = dict(step.args)
    for argument in TRANSFORMS[step.name].arguments:
        name = f"arg-{index}-{argument.name}"
        if name not in sent:
            continue
        value = sent[name]
        if argument.kind == "table":
            args[argument.name] = _table(value)
        elif argument.kind == "integer":
            args[argument.name] = int(value) if value.strip().lstrip("-").isdigit() else argument.default
        else:
            args[argument.name] = value
    return Transform(step.name, args)


def _table(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {left.strip(): right.strip() for left, right in pairs if left.strip()}
