"""The difference between two versions of a mapping, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.sdk.fields import shorten
from connectors.sdk.mapping_types import Rule, Transform
from connectors.sdk.transforms import TRANSFORMS

_DIRECTIONS = {"in": "flows in", "out": "flows out", "both": "flows both ways", "off": "is switched off"}
_POLICIES = {
    "theirs": "their value wins", "ours": "our value wins", "newest": "the newest value wins",
    "ask": "a person is asked", None: "as in the stream",
}  # fmt: skip
_ERRORS = {"fail_record": "the record is refused", "skip_field": "the field is left out"}


@dataclass(frozen=True)
class RuleChange:
    """What has become of the rule of one field; `kind` is added, removed or changed, `what` says it line by line."""

    target: str
    kind: str
    what: tuple[str, ...] = ()


def diff_rules(old: Sequence[Rule], new: Sequence[Rule], labels: Mapping[str, str] | None = None) -> list[RuleChange]:
    """Return the changes from one list of rules to another: new order first, then what is gone.

    `labels` names the other side's fields by path; without, their paths are shown. The order of rules means nothing.
    """
    names = labels or {}
    before = {rule.target: rule for rule in old}
    after = {rule.target: rule for rule in new}
    changes = []
    for target, rule in after.items():
        if target not in before:
            changes.append(RuleChange(target, "added", tuple(_whole(rule, names))))
        elif what := _between(before[target], rule, names):
            changes.append(RuleChange(target, "changed", tuple(what)))
    gone = [rule for target, rule in before.items() if target not in after]
    return changes + [RuleChange(rule.target, "removed", tuple(_whole(rule, names))) for rule in gone]


def _whole(rule: Rule, names: Mapping[str, str]) -> list[str]:
    lines = [f"from {_sources(rule, names)}", _DIRECTIONS.get(rule.direction, rule.direction)]
    lines += [_step(step) for step in rule.transforms]
    lines += [f"when empty: {_value(rule.default)}"] if rule.default is not None else []
    lines += ["required"] if rule.required else []
    lines += [f"on conflict {_POLICIES.get(rule.conflict, rule.conflict)}"] if rule.conflict else []
    return lines


def _between(old: Rule, new: Rule, names: Mapping[str, str]) -> list[str]:
    lines = []
    if old.sources != new.sources:
        lines.append(f"from {_sources(new, names)}, was from {_sources(old, names)}")
    if old.direction != new.direction:
        lines.append(f"{_DIRECTIONS.get(new.direction)}, before it {_was(old.direction)}")
    lines += _steps(old.transforms, new.transforms)
    if old.default != new.default:
        lines.append(f"when empty: {_value(new.default)}, was {_value(old.default)}")
    if old.required != new.required:
        lines.append("required" if new.required else "no longer required")
    if old.on_error != new.on_error:
        lines.append(f"when a value does not fit, {_ERRORS.get(new.on_error, new.on_error)}")
    if old.conflict != new.conflict:
        lines.append(f"on conflict {_POLICIES.get(new.conflict)}, was {_POLICIES.get(old.conflict)}")
    return lines


def _was(direction: str) -> str:
    words = {"in": "flowed in", "out": "flowed out", "both": "flowed both ways", "off": "was switched off"}
    return words.get(direction, direction)


def _steps(old: Sequence[Transform], new: Sequence[Transform]) -> list[str]:
    """Return what was added, taken away and set otherwise; the order where nothing else differs."""
    left, kept = list(old), []
    lines = []
    for step in new:
        same = next((other for other in left if other.name == step.name), None)
        if same is None:
            lines.append(f"added {_step(step)}")
            continue
        left.remove(same)
        kept.append(same)
        if dict(same.args) != dict(step.args):
            lines.append(f"{_step(step)}, was {_step(same)}")
    lines += [f"took away {_step(step)}" for step in left]
    if not lines and [step.name for step in old] != [step.name for step in new]:
        lines.append(f"in the order {', '.join(_label(step) for step in new)}")
    return lines


def _label(step: Transform) -> str:
    return f"“{TRANSFORMS[step.name].label}”" if step.name in TRANSFORMS else step.name


def _step(step: Transform) -> str:
    arguments = TRANSFORMS[step.name].arguments if step.name in TRANSFORMS else ()
    given = [f"{a.label.lower()} {_value(step.args[a.name])}" for a in arguments if step.args.get(a.name) is not None]
    return f"{_label(step)} ({', '.join(given)})" if given else _label(step)


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        pairs = [f"{key} = {inner}" for key, inner in value.items()]
        return shorten(", ".join(pairs)) if pairs else "an empty table"
    return f"“{shorten(value)}”"


def _sources(rule: Rule, names: Mapping[str, str]) -> str:
    return " and ".join(names.get(source, source) for source in rule.sources) or "a fixed value"
