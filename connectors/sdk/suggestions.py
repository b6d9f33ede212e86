"""Which field of the other side belongs to which of the host's, guessed by name and type."""

import re
from collections.abc import Sequence

from connectors.sdk.fields import FieldInfo, TargetField
from connectors.sdk.fitting import suggest_transform
from connectors.sdk.mapping_types import Rule

_PLAIN = re.compile(r"[^a-z0-9]")


def suggest_rules(sources: Sequence[FieldInfo], targets: Sequence[TargetField]) -> list[Rule]:
    """Return a rule for every target whose name or label is that of a source, spelling aside."""
    by_name: dict[str, FieldInfo] = {}
    for source in sources:
        for name in (source.name.rsplit(".", 1)[-1], source.label):
            by_name.setdefault(_PLAIN.sub("", name.lower()), source)
    rules = []
    for target in targets:
        names = (_PLAIN.sub("", name.lower()) for name in (target.name, target.label))
        found = next((by_name[name] for name in names if name in by_name), None)
        if found:
            step = suggest_transform(found.type, target.type)
            rules.append(Rule(target.name, (found.name,), (step,) if step else ()))
    return rules
