"""What the rows of the mapping editor show: pure, made of rules, fields and samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.filters import shown
from app.services.mappings import effective
from app.services.stream_fields import AccountField
from connectors.sdk import (
    TRANSFORMS,
    FieldProblem,
    MappingError,
    Rule,
    TargetField,
    Transform,
    check_types,
    compile_mapping,
)
from connectors.sdk.fields import coercer
from connectors.sdk.mapping_types import flows
from connectors.sdk.transforms import TransformInfo, arguments_of

# value: (icon, what it is called in a label)
WAYS = {"in": "arrow-right", "out": "arrow-left", "both": "arrows-left-right", "off": "x"}


@dataclass(frozen=True)
class Chip:
    """One transform of a row, in few words."""

    number: int
    info: TransformInfo
    args: Mapping[str, Any]
    words: str
    # A table of values as its form shows it: what is in it, what the field may hold besides, room for two more.
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Way:
    """A direction to choose; `reason` says why it cannot be, or nothing."""

    value: str
    icon: str
    label: str
    reason: str


@dataclass(frozen=True)
class Proof:
    """What the samples say to a proposed transform: a sentence, and one value before and after."""

    sentence: str
    before: str
    after: str


@dataclass
class Row:
    """One field of the host and what makes it. `panel` is the part of its form that is open."""

    target: TargetField
    rule: Rule | None
    sources: list[AccountField]
    need: str
    direction: str = "off"
    chips: list[Chip] = field(default_factory=list)
    problem: FieldProblem | None = None
    proof: Proof | None = None
    suggested: Rule | None = None
    suggested_sources: list[AccountField] = field(default_factory=list)
    changed: bool = False
    panel: str = ""
    ways: list[Way] = field(default_factory=list)
    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    # Refused because it cannot be turned round, and fine if it only flowed in.
    may_flow_in: bool = False

    @property
    def proposal(self) -> str:
        """What the proposed transform is called, empty where there is none."""
        return step_words(self.problem.proposal) if self.problem and self.problem.proposal else ""


@dataclass(frozen=True)
class Editor:
    """What rows are made of."""

    rules: list[Rule]
    in_force: list[Rule]
    targets: list[TargetField]
    fields: Mapping[str, AccountField]
    direction: str
    match_key: str | None
    suggested: Mapping[str, Rule]
    problems: Mapping[str, FieldProblem]
    samples: Sequence[Mapping[str, Any]]
    vendor: str
    host: str

    def rule_of(self, target: str) -> Rule | None:
        """Return the rule of a field of the host."""
        return next((rule for rule in self.rules if rule.target == target), None)


def rows_of(editor: Editor) -> list[Row]:
    """Return a row for each field of the host: mapped ones, suggested ones, the others."""
    rows = [make_row(editor, target, editor.rule_of(target.name)) for target in editor.targets]
    return sorted(rows, key=lambda row: (row.rule is None, row.rule is None and row.suggested is None))


def make_row(editor: Editor, target: TargetField, rule: Rule | None, problem: FieldProblem | None = None) -> Row:
    """Return the row of one field, with a rule that may not be kept yet."""
    problem = problem or (editor.problems.get(target.name) if rule and rule == editor.rule_of(target.name) else None)
    row = Row(target, rule, _sources(editor, rule), _need(editor, target, rule), problem=problem)
    was = next((old for old in editor.in_force if old.target == target.name), None)
    row.changed = rule != was
    if rule is None:
        row.suggested = editor.suggested.get(target.name)
        row.suggested_sources = _sources(editor, row.suggested)
        return row
    row.direction = effective(rule, editor.direction)
    row.chips = [
        Chip(number, TRANSFORMS[step.name], step.args, step_words(step), _pairs(step, row.sources))
        for number, step in enumerate(rule.transforms)
        if step.name in TRANSFORMS
    ]
    if problem and problem.proposal:
        row.proof = _proof(editor, rule, target, problem.proposal)
    return row


def _pairs(step: Transform, sources: Sequence[AccountField]) -> tuple[tuple[str, str], ...]:
    if step.name != "value_table":
        return ()
    table = dict(step.args.get("table") or {})
    choices = sources[0].choices if len(sources) == 1 else ()
    rows = {choice.value: "" for choice in choices} | {str(theirs): str(ours) for theirs, ours in table.items()}
    return (*rows.items(), ("", ""), ("", ""))


def _sources(editor: Editor, rule: Rule | None) -> list[AccountField]:
    return [
        editor.fields.get(name) or AccountField(name, name, "unknown", mark="removed")
        for name in (rule.sources if rule else ())
    ]


def _need(editor: Editor, target: TargetField, rule: Rule | None) -> str:
    words = "Required" if target.required or (rule and rule.required) else "Optional"
    return words + (", records are matched by it" if target.name == editor.match_key else "")


def ways_of(editor: Editor, rule: Rule, target: TargetField) -> list[Way]:
    """Return the four directions of a rule, each with the reason where it cannot be."""
    labels = {
        "in": f"Into {editor.host}", "out": f"Out to {editor.vendor}", "both": "Both ways", "off": "Off: not synced",
    }  # fmt: skip
    return [Way(value, icon, labels[value], _reason(editor, rule, target, value)) for value, icon in WAYS.items()]


def _reason(editor: Editor, rule: Rule, target: TargetField, wanted: str) -> str:
    if wanted == "off":
        return f"{target.label} is required." if target.required else ""
    for way, there in (("in", editor.host), ("out", editor.vendor)):
        if flows(wanted, way) and not flows(editor.direction, way):
            return f"The settings of this stream let nothing flow into {there}."
    return hindrance(editor, replace(rule, direction=wanted))


def hindrance(editor: Editor, rule: Rule) -> str:
    """Return why a rule cannot be as it is among the others, nothing where it can."""
    rules = [other for other in editor.rules if other.target != rule.target]
    try:
        compile_mapping(
            [*rules, rule], editor.targets, direction=editor.direction, sources=list(editor.fields.values())
        )
    except MappingError as error:
        found = list(error.problems)
    else:
        # A type conflict that a transform solves hinders nobody: it is proposed when that is saved.
        met = replace(rule, direction=effective(rule, editor.direction))
        found = [p for p in check_types([met], editor.targets, editor.fields) if p.proposal is None]
    return next((_named(editor, problem) for problem in found if problem.field == rule.target), "")


def _named(editor: Editor, problem: FieldProblem) -> str:
    """Return what a problem says, with a field of the account called by its name instead of its path."""
    known = editor.fields.get(problem.value)
    return problem.message.replace(problem.value, known.label) if known else problem.message


def _proof(editor: Editor, rule: Rule, target: TargetField, proposal: Transform) -> Proof | None:
    """Try a proposed transform on the sampled values of the field."""
    if len(rule.sources) != 1 or not editor.samples:
        return None
    try:
        step, coerce = TRANSFORMS[proposal.name].make(arguments_of(proposal)), coercer(target)
    except (ValueError, KeyError):
        return None
    values = [sample["values"].get(rule.sources[0]) for sample in editor.samples]
    filled = [value for value in values if value not in (None, "")]
    fitting = [(value, after) for value in filled if (after := _try(step, coerce, value)) is not None]
    if not fitting:
        return None
    before, after = fitting[0]
    words = f"Of {len(values)} sampled records, {len(filled)} have a value such as “{shown(before)[:60]}”"
    empty = len(values) - len(filled)
    words += f" and {empty} {'is' if empty == 1 else 'are'} empty" if empty else ""
    fits = "works for all" if len(fitting) == len(filled) else f"works for {len(fitting)} of them"
    return Proof(f"{words}; “{step_words(proposal)}” {fits}.", shown(before)[:60], shown(after)[:60])


def _try(step: Callable[[Any], Any], coerce: Callable[[Any], Any], value: Any) -> Any:
    try:
        return coerce(step(value))
    except (ValueError, TypeError, OverflowError):
        return None


def step_words(step: Transform) -> str:
    """Return a transform in few words: what it does with its settings."""
    info, args = TRANSFORMS[step.name], step.args
    if step.name == "case":
        return f"{args.get('to', 'lower')} case"
    if step.name == "concat":
        between = args.get("separator", " ")
        return {" ": "join with space", "": "join"}.get(between, f"join with “{between}”")
    if step.name == "value_table":
        count = len(args.get("table") or {})
        return f"translate {count} value{'s' if count != 1 else ''}"
    if step.name == "number":
        return "read number, 1.234,5" if args.get("decimal") == "," else "read number, 1,234.5"
    if step.name in ("date_parse", "date_format"):
        return f"{info.label}, {args.get('format') or 'YYYY-MM-DD'}"
    if step.name == "default":
        return f"“{str(args.get('value', ''))[:20]}” when empty"
    if step.name == "replace":
        return f"replace “{str(args.get('old', ''))[:12]}”"
    return info.label
