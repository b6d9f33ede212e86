"""Values of a manifest's config fields as a program sends them; the wizard's form asks the same of people."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import InvalidError
from connectors.sdk.manifest import ConfigField

_LONGEST = 4000


def checked(
    fields: Sequence[ConfigField], given: Mapping[str, Any], present: Mapping[str, Any], *,
    loaded: Mapping[str, list[dict[str, str]]] | None = None, keep_secrets: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Return the given values, or raise InvalidError that names the fields which do not fit or are missing.

    `present` are the values of before, `loaded` the choices of the account; `keep_secrets`: stored ones may be left out.
    """
    known = {field.name: field for field in fields}
    wrong = {name: "There is no such setting in this step." for name in given if name not in known}
    found: dict[str, Any] = {}
    for name, field in known.items():
        if name in given and given[name] not in (None, "", []):
            offered = [choice.value for choice in field.choices]
            offered = offered or [choice["value"] for choice in (loaded or {}).get(name, ())]
            problem = _problem(field, given[name], offered)
            if problem:
                wrong[name] = problem
            else:
                found[name] = given[name]
        elif field.required and field.kind != "flag":
            kept = keep_secrets if field.kind == "secret" else name not in given and present.get(name, field.default)
            if not kept:
                wrong[name] = f"Give the {field.label.lower()}."
        elif name in given:
            found[name] = given[name]
    if wrong:
        raise InvalidError("Some settings do not fit: " + " ".join(wrong.values()), wrong)
    return found


def _problem(field: ConfigField, value: Any, offered: Sequence[Any]) -> str | None:
    if field.kind == "flag":
        return None if isinstance(value, bool) else "Give true or false."
    values = value if field.kind == "list" else [value]
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        return "Give a list of texts." if field.kind == "list" else "Give a text."
    for one in values:
        if len(one) > _LONGEST:
            return f"It is longer than {_LONGEST} characters."
        if offered and one not in offered:
            return "Choose one of what is offered."
        if field.pattern and not re.fullmatch(field.pattern, one):
            return "This does not have the right form." + (f" Example: {field.example}" if field.example else "")
    return None
