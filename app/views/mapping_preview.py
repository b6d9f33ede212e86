"""What the preview of the mapping editor shows of one sampled record: both ways, beside what is there now."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.services import samples
from app.services.mappings import Content
from app.services.samples import Here
from app.services.stream_fields import AccountField
from connectors.sdk import (
    CompiledMapping,
    FieldProblem,
    Mapped,
    MappingError,
    Outbound,
    Rule,
    TargetField,
    compile_filters,
    compile_mapping,
)
from connectors.sdk.expressions import look_up

SHOWN_HERE = {
    "linked": "linked with a record in {host}", "match": "found in {host} by its {key}", "": "not in {host} yet",
    "several": "fits more than one record in {host}: a conflict",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One field. `state`: same, changed, hidden (marked sensitive), blocked (`note` says by what)."""

    label: str
    before: Any = None
    after: Any = None
    state: str = "same"
    note: str = ""


@dataclass(frozen=True)
class Look:
    """One record: who it is, where it stands, what would be written one way or the other."""

    title: str
    where: str
    lines: Sequence[Line] = ()
    message: str = ""
    record_id: uuid.UUID | None = None


@dataclass(frozen=True)
class Scene:
    """What a preview is made with."""

    content: Content
    targets: Sequence[TargetField]
    fields: Mapping[str, AccountField]
    match_key: str | None
    title_field: str
    host: str
    vendor: str


def look_at(scene: Scene, sample: dict[str, Any], way: str) -> Look:
    """Return what a sampled record shows, `way` in or out."""
    try:
        # Both ways whatever the stream lets through: a preview may look further than a run.
        mapping = compile_mapping(
            scene.content.rules, scene.targets, direction="both", sources=list(scene.fields.values())
        )
        left_out = compile_filters(scene.content.edited.filters, scene.targets)
    except MappingError as error:
        return Look(sample["id"], "cannot be mapped yet", message=error.problems[0].message)
    data = samples.data_of(sample)
    mapped = mapping.apply(data)
    values, key = mapped.values, scene.match_key or ""
    here = samples.find_here(scene.content.installed, sample["id"], values.get(key), scene.match_key)
    labels = {target.name: target.label for target in scene.targets}
    look = Look(
        str(values.get(scene.title_field) or values.get("email") or sample["id"]),
        SHOWN_HERE[here.how].format(host=scene.host, key=labels.get(key, "key").lower()),
        record_id=here.record.id if here.record else None,
    )
    why = left_out(values)
    if why:
        return replace(look, message=f"A filter leaves it out: {why}.")
    if way == "out":
        return _out(scene, mapping, here, look, mapped, data)
    rules = [rule for rule in scene.content.rules if rule.direction in ("in", "both")]
    lines = [_in_line(scene, rule, labels, mapped, here) for rule in rules]
    return replace(look, lines=lines, message="It is refused until this is put right." if mapped.failed else "")


def _in_line(scene: Scene, rule: Rule, labels: Mapping[str, str], mapped: Mapped, here: Here) -> Line:
    label = labels.get(rule.target, rule.target)
    if _sensitive(scene, rule):
        return Line(label, state="hidden")
    problem = _of(mapped.problems, rule.target)
    if problem:
        return Line(label, state="blocked", note=problem.message)
    before = here.record.data.get(rule.target) if here.record else None
    after = mapped.values.get(rule.target)
    choices = next((target.choices for target in scene.targets if target.name == rule.target), ())
    named = {choice.value: choice.label for choice in choices}
    return Line(label, _named(before, named), _named(after, named), "same" if before == after else "changed")


def _named(value: Any, names: Mapping[str, str]) -> Any:
    """Return a choice, or several, as people call them."""
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _out(scene: Scene, mapping: CompiledMapping, here: Here, look: Look, mapped: Mapped, data: dict[str, Any]) -> Look:
    if here.record is None:
        return replace(look, message=f"Nothing would be sent: there is no record of it in {scene.host}.")
    ours = here.record.data
    sent = mapping.outgoing(ours, set(mapping.outgoing_targets))
    # What is the same on both sides is not sent, however it is written there.
    same = {name for name, value in mapped.values.items() if value == ours.get(name)}
    rules = [rule for rule in scene.content.rules if rule.direction in ("out", "both")]
    lines = [line for rule in rules for line in _out_lines(scene, rule, sent, data, same=rule.target in same)]
    return replace(look, lines=lines, message="" if lines else f"No field flows out to {scene.vendor}.")


def _out_lines(scene: Scene, rule: Rule, sent: Outbound, data: dict[str, Any], *, same: bool) -> list[Line]:
    labels = {name: scene.fields[name].label if name in scene.fields else name for name in rule.sources}
    problem = _of(sent.problems, rule.target)
    if problem and not same:
        return [Line(labels[rule.sources[0]], state="blocked", note=problem.message)]
    written = [name for name in rule.sources if name in sent.fields]
    if _sensitive(scene, rule):
        return [Line(labels[name], state="hidden") for name in written]
    pairs = [(labels[name], look_up(data, name), sent.fields[name]) for name in written]
    return [
        Line(label, before, before, "same") if same or before == after else Line(label, before, after, "changed")
        for label, before, after in pairs
    ]


def _sensitive(scene: Scene, rule: Rule) -> bool:
    return any(scene.fields[name].sensitive for name in rule.sources if name in scene.fields)


def _of(problems: Sequence[FieldProblem], target: str) -> FieldProblem | None:
    return next((problem for problem in problems if problem.field == target), None)
