"""Fields whose values are not shown: those marked sensitive here, and those that are made of fields marked so there."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.models.object_types import ObjectField
from connectors.sdk import Rule
from connectors.sdk.manifest import Stream

HIDDEN = "hidden"
_QUOTED = re.compile("“[^”]*”")


def hidden_names(fields: Iterable[ObjectField]) -> set[str]:
    """Return the names of the host's fields that are marked sensitive."""
    return {field.name for field in fields if field.sensitive}


def hidden_targets(rules: Iterable[Rule], stream: Stream) -> set[str]:
    """Return the host's fields that a mapping fills from fields which the other side has marked sensitive."""
    theirs = {field.name for field in stream.fields if field.sensitive}
    return {rule.target for rule in rules if theirs.intersection(rule.sources)}


def mask(values: Mapping[str, Any], hidden: Iterable[str]) -> dict[str, Any]:
    """Return values with those of hidden fields replaced; nothing stays nothing."""
    names = set(hidden)
    return {name: HIDDEN if name in names and value not in (None, "") else value for name, value in values.items()}


def mask_quotes(sentence: str) -> str:
    """Return a sentence without the values it quotes."""
    return _QUOTED.sub(f"the value ({HIDDEN}, as it is sensitive)", sentence)
