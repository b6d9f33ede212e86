"""What has become of an account's fields since they were last read: new, removed, retyped ones, and who uses them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.sdk.fields import FieldInfo
from connectors.sdk.mapping_types import Rule


@dataclass(frozen=True)
class FieldDrift:
    """One field that is not as it was. `before` and `after` are its types, None where there is no field.

    `targets` are the host's fields that the mapping makes of it.
    """

    name: str
    label: str
    before: str | None
    after: str | None
    targets: tuple[str, ...] = ()

    @property
    def used(self) -> bool:
        """Whether the mapping reads or writes the field."""
        return bool(self.targets)


@dataclass(frozen=True)
class Drift:
    """All that has changed, each in the order of the fields."""

    new: tuple[FieldDrift, ...] = ()
    removed: tuple[FieldDrift, ...] = ()
    retyped: tuple[FieldDrift, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.removed or self.retyped)

    @property
    def used(self) -> tuple[FieldDrift, ...]:
        """What the mapping has to be changed for: removed and retyped fields that it uses."""
        return tuple(field for field in (*self.removed, *self.retyped) if field.used)


def drift(before: Sequence[Mapping[str, Any]], after: Sequence[FieldInfo], rules: Sequence[Rule]) -> Drift:
    """Return what differs between stored fields (their JSON) and those just discovered.

    Nothing when none were stored: what is seen for the first time has not changed. A rule that is off uses nothing.
    """
    if not before:
        return Drift()
    old = {field["name"]: field for field in before}
    now = {info.name: info for info in after}
    return Drift(
        new=tuple(
            FieldDrift(info.name, info.label, None, info.type, _targets(name, rules))
            for name, info in now.items()
            if name not in old
        ),
        removed=tuple(
            FieldDrift(name, field.get("label") or name, field.get("type"), None, _targets(name, rules))
            for name, field in old.items()
            if name not in now
        ),
        retyped=tuple(
            FieldDrift(name, info.label, old[name].get("type"), info.type, _targets(name, rules))
            for name, info in now.items()
            if name in old and old[name].get("type") != info.type
        ),
    )


def _targets(name: str, rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple(
        rule.target
        for rule in rules
        if rule.direction != "off" and any(f"{source}.".startswith(f"{name}.") for source in rule.sources)
    )
