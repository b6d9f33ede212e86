"""What a mapping is made of: rules and their JSON form, and what comes of applying them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DIRECTIONS = ("in", "out", "both", "off")
CONFLICTS = ("theirs", "ours", "newest", "ask")


@dataclass(frozen=True)
class Transform:
    """One step: a name of TRANSFORMS and its arguments."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How one field of the host is made, and which way it flows.

    `direction` is met with the stream's own: a field flows a way when both allow it. `conflict` is the field's policy
    for a value changed on both sides, None where the stream's holds.
    """

    target: str
    sources: tuple[str, ...]
    transforms: tuple[Transform, ...] = ()
    direction: str = "in"
    required: bool = False
    default: Any = None
    on_error: str = "fail_record"
    conflict: str | None = None


@dataclass(frozen=True)
class FieldProblem:
    """Why a field has no value, in words for the customer.

    `fix` is what to change in the mapping; `proposal` the transform that would do it, where one is known.
    """

    field: str
    value: str
    message: str
    fix: str = ""
    proposal: Transform | None = None


@dataclass(frozen=True, slots=True)
class Mapped:
    """The values of one record. `failed`: it must not be written."""

    values: dict[str, Any]
    problems: tuple[FieldProblem, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class Outbound:
    """What a host's record is at the other side: values by dotted path. `failed`: it must not be sent."""

    fields: dict[str, Any]
    problems: tuple[FieldProblem, ...]
    failed: bool


class MappingError(ValueError):
    """Rules or filters that cannot be compiled; `problems` names each with its field and fix."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in problems))
        self.problems = tuple(problems)


def flows(direction: str, way: str) -> bool:
    """Return whether a direction lets values go a way, "in" or "out"."""
    return direction in (way, "both")


def rules_to_json(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Return rules as JSON."""
    return [
        {
            "target": rule.target, "sources": list(rule.sources),
            "transforms": [{"name": step.name, "args": dict(step.args)} for step in rule.transforms],
            "direction": rule.direction, "required": rule.required, "default": rule.default, "on_error": rule.on_error,
            "conflict": rule.conflict,
        }
        for rule in rules
    ]  # fmt: skip


def rules_from_json(rules: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """Return rules from their JSON form; what older versions did not know has its default."""
    return [
        Rule(
            target=rule["target"],
            sources=tuple(rule.get("sources", ())),
            transforms=tuple(Transform(s["name"], s.get("args") or {}) for s in rule.get("transforms", ())),
            direction=rule.get("direction") or "in",
            required=bool(rule.get("required")),
            default=rule.get("default"),
            on_error=rule.get("on_error") or "fail_record",
            conflict=rule.get("conflict"),
        )
        for rule in rules
    ]
