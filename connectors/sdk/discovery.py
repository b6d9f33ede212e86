"""An account's own fields: what a vendor's list of properties says, joined with the declared fields."""

from dataclasses import replace
from typing import Any

from connectors.sdk.expressions import look_up
from connectors.sdk.fields import Choice, FieldInfo
from connectors.sdk.manifest import Stream
from connectors.sdk.reading import holds
from connectors.sdk.schema.streams import Discovery


def merge(stream: Stream, items: list[Any]) -> list[FieldInfo]:
    """Return the declared fields, then the discovered ones.

    A declared field keeps its own words; its choices are the account's where the manifest names none.
    """
    found = stream.discovery
    assert found is not None
    fields = {info.name: info for info in stream.field_infos()}
    for item in items:
        if not all(holds(condition, item) for condition in found.where):
            continue
        name = f"{found.prefix}{look_up(item, found.name)}"
        if look_up(item, found.name) in (None, ""):
            continue
        if name in fields:
            known = fields[name]
            if known.type in ("choice", "multi_choice") and not known.choices:
                fields[name] = replace(known, choices=tuple(_choices(stream, item)))
            continue
        fields[name] = FieldInfo(
            name, str(look_up(item, found.label) or name)[:200], _type(found, item),
            required=_flag(item, found.required), read_only=_flag(item, found.read_only),
            custom=not _flag(item, found.standard) if found.standard else _flag(item, found.custom, otherwise=True),
            choices=tuple(_choices(stream, item)),
        )  # fmt: skip
    return list(fields.values())


def _type(found: Discovery, item: Any) -> str:
    name = str(look_up(item, found.type))
    precise = f"{name}.{look_up(item, found.subtype)}" if found.subtype else name
    return found.types.get(precise) or found.types.get(name, "text")


def _flag(item: Any, path: str | None, *, otherwise: bool = False) -> bool:
    return bool(look_up(item, path)) if path else otherwise


def _choices(stream: Stream, item: Any) -> list[Choice]:
    found = stream.discovery
    assert found is not None
    options = look_up(item, found.choices) if found.choices else None
    choices = []
    for option in options if isinstance(options, list) else []:
        value = look_up(option, found.choice_value) if isinstance(option, dict) else option
        if value is not None:
            label = look_up(option, found.choice_label) if isinstance(option, dict) else value
            choices.append(Choice(str(value), str(label or value)))
    return choices
