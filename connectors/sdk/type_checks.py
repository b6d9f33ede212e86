"""What is wrong with the types of a mapping, told when it is saved and not by the first record."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from connectors.sdk.fields import TEXTS, FieldInfo, TargetField
from connectors.sdk.fitting import TYPE_WORDS, fits, suggest_transform
from connectors.sdk.inbound import compile_in
from connectors.sdk.mapping_types import FieldProblem, Rule, Transform, flows
from connectors.sdk.outbound import OutRule, compile_out
from connectors.sdk.transforms import TRANSFORMS
from connectors.sdk.writing import nested

_TRANSLATED = (*TEXTS, "number", "integer", "flag")


def check_types(
    rules: Sequence[Rule], targets: Sequence[TargetField], sources: Mapping[str, FieldInfo], *, creates: bool = False
) -> list[FieldProblem]:
    """Return what cannot work of rules that compile, given the other side's fields by path.

    A problem's `proposal` is a transform that would do, taken over by `with_proposal`.
    With `creates`, fields that a new record needs there have to be written; such a problem has no field, and the path
    as its value. Sources that are not known are not judged, nor are rules that are off.
    """
    by_name = {target.name: target for target in targets}
    problems: list[FieldProblem] = []
    written: set[str] = set()
    for rule in rules:
        target = by_name.get(rule.target)
        if target is None or rule.direction == "off":
            continue
        if flows(rule.direction, "in"):
            problems += _inward(rule, target, sources)
        if flows(rule.direction, "out"):
            out = _turned(rule, target, sources)
            if out is not None:
                written |= set(out.paths)
                problems += _outward(rule, target, sources, out)
    if creates:
        problems += _needed(sources, written)
    return problems


def _needed(sources: Mapping[str, FieldInfo], written: set[str]) -> Iterator[FieldProblem]:
    for info in sources.values():
        if info.required and not info.read_only and not any(f"{path}.".startswith(f"{info.name}.") for path in written):
            message = f"{info.label} is required for a new record there, and nothing flows out to it."
            yield FieldProblem("", info.name, message, "Map it with a direction that flows out.")


def _turned(rule: Rule, target: TargetField, sources: Mapping[str, FieldInfo]) -> OutRule | None:
    try:
        return compile_out(rule, target, sources)
    except (ValueError, KeyError, TypeError):
        return None  # said when the mapping is compiled


def _kind_in(rule: Rule, source_type: str) -> str:
    kind = source_type
    if len(rule.sources) > 1 and not (rule.transforms and TRANSFORMS[rule.transforms[0].name].takes_all):
        kind = "text"
    for step in rule.transforms:
        kind = TRANSFORMS[step.name].gives or kind
    return kind


def _inward(rule: Rule, target: TargetField, sources: Mapping[str, FieldInfo]) -> list[FieldProblem]:
    infos = [sources[path] for path in rule.sources if path in sources]
    for info in infos:
        kind = _kind_in(rule, info.type)
        if not _fits_in(rule, kind, target.type):
            return [_misfit(rule, target, info, kind)]
    return list(_strange_in(rule, target, infos[0])) if len(infos) == len(rule.sources) == 1 else []


def _fits_in(rule: Rule, kind: str, target_type: str) -> bool:
    names = {step.name for step in rule.transforms}
    return (
        fits(kind, target_type)
        or (kind in TEXTS and target_type in ("email", "url") and bool(names))
        or (kind in _TRANSLATED and "value_table" in names)
        # A text may hold anything, and what does not fit is left out.
        or (kind in TEXTS and rule.on_error == "skip_field")
    )


def _misfit(rule: Rule, target: TargetField, info: FieldInfo, kind: str) -> FieldProblem:
    verb = "is" if kind == info.type else "becomes"
    message = f"{info.label} {verb} {TYPE_WORDS.get(kind, kind)}, but {target.label} is {TYPE_WORDS[target.type]}."
    proposal = suggest_transform(kind, target.type)
    if proposal:
        mended = with_proposal(rule, proposal)
        proposal = proposal if _fits_in(mended, _kind_in(mended, info.type), target.type) else None
    fix = f"Use “{TRANSFORMS[proposal.name].label}”." if proposal else "Choose another field."
    return FieldProblem(rule.target, info.name, message, fix, proposal)


def with_proposal(rule: Rule, proposal: Transform) -> Rule:
    """Return a rule with a proposed transform as its last, in place of one of the same name."""
    kept = tuple(step for step in rule.transforms if step.name != proposal.name)
    return replace(rule, transforms=(*kept, proposal))


def _strange_in(rule: Rule, target: TargetField, info: FieldInfo) -> Iterator[FieldProblem]:
    """Yield what a source's choices become that the target does not know."""
    if rule.on_error == "skip_field" or not info.choices or not target.choices:
        return
    make = compile_in(rule, target, taken=True).make
    strange = {}
    for choice in info.choices:
        try:
            make(nested({info.name: [choice.value] if info.type == "multi_choice" else choice.value}))
        except (ValueError, TypeError, OverflowError):
            strange[choice.value] = choice.label
    if strange:
        by_label = {name.casefold(): c.value for c in target.choices for name in (c.label, c.value)}
        given = next((dict(step.args.get("table") or {}) for step in rule.transforms if step.name == "value_table"), {})
        table = {**given, **{value: by_label.get(label.casefold(), "") for value, label in strange.items()}}
        proposal = Transform("value_table", {"table": table, "otherwise": "keep"}) if info.type == "choice" else None
        yield FieldProblem(
            rule.target, info.name, f"{target.label} does not know {_listed(strange.values())} of {info.label}.",
            "Say what each becomes." if proposal else "Choose another field.", proposal,
        )  # fmt: skip


def _outward(rule: Rule, target: TargetField, sources: Mapping[str, FieldInfo], out: OutRule) -> Iterator[FieldProblem]:
    fix = f"Let {target.label} only flow in."
    for path in out.paths:
        info = sources.get(path)
        if info is None:
            continue
        if info.read_only:
            yield FieldProblem(rule.target, path, f"{info.label} can only be read there.", fix)
        elif not any(_fits_out(kind, info.type) for kind in _kinds_out(rule, target.type)):
            message = f"{target.label} is {TYPE_WORDS[target.type]}, but {info.label} is {TYPE_WORDS.get(info.type, info.type)} there."
            yield FieldProblem(rule.target, path, message, fix)
        elif target.choices and info.choices and len(out.paths) == 1 and rule.on_error != "skip_field":
            yield from _strange_out(rule, target, info, out)


def _kinds_out(rule: Rule, target_type: str) -> tuple[str, ...]:
    kinds: tuple[str, ...] = (target_type,)
    for step in reversed(rule.transforms):
        kinds = TRANSFORMS[step.name].back or (_TRANSLATED if step.name == "value_table" else kinds)
    return kinds


def _fits_out(kind: str, source_type: str) -> bool:
    # Whether a text or a structure is what the other side takes is found out value by value.
    return fits(kind, source_type) or kind in TEXTS or kind == "json"


def _strange_out(rule: Rule, target: TargetField, info: FieldInfo, out: OutRule) -> Iterator[FieldProblem]:
    strange = []
    for choice in target.choices:
        try:
            out.make([choice.value] if target.type == "multi_choice" else choice.value)
        except (ValueError, TypeError, OverflowError):
            strange.append(choice.label)
    if strange:
        yield FieldProblem(
            rule.target, info.name, f"{info.label} does not know {_listed(strange)} of {target.label}.",
            f"Let {target.label} only flow in, or leave out what does not fit.",
        )  # fmt: skip


def _listed(values: Iterable[str]) -> str:
    names = [f"“{value}”" for value in values]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
