"""The fields that a stream's records have in the connected account, as discovery found them, for the mapping editor.

They are kept as JSON on the installation's stream. A field that drift has found new, gone or of another type carries a
mark until somebody has decided what to do about it (services/drift.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.clock import now
from app.models.installations import InstallationStream
from app.services.object_types import list_fields
from app.services.sensitive_fields import hidden_names
from connectors.sdk import Choice, FieldInfo, Rule
from connectors.sdk.manifest import Stream


@dataclass(frozen=True)
class AccountField(FieldInfo):
    """A field of the account. `mark`: new, removed, retyped or nothing; `was`: the type it had before."""

    mark: str = ""
    was: str = ""
    sensitive: bool = False


def of_stream(installed: InstallationStream, declared: Stream) -> list[AccountField]:
    """Return what the account's records offer: discovered fields, the declared ones before the first test."""
    sensitive = {field.name for field in declared.fields if field.sensitive}
    found = kept(installed) or [found_as(info) for info in declared.field_infos()]
    return [replace(field, sensitive=True, sample=None) if field.name in sensitive else field for field in found]


def of_mapping(installed: InstallationStream, declared: Stream, rules: Iterable[Rule]) -> list[AccountField]:
    """Return the same for who shows values: what a field marked sensitive here is made of is sensitive there as well."""
    hidden = hidden_names(list_fields(installed.object_type))
    read = {source for rule in rules if rule.target in hidden for source in rule.sources}
    return [
        replace(field, sensitive=True, sample=None) if field.name in read else field
        for field in of_stream(installed, declared)
    ]


def kept(installed: InstallationStream) -> list[AccountField]:
    """Return the discovered fields; none before the first test."""
    return [_from_json(field) for field in installed.fields]


def found_as(field: FieldInfo, **more: Any) -> AccountField:
    """Return a discovered field as one of the account's."""
    return AccountField(**{name: getattr(field, name) for name in FieldInfo.__dataclass_fields__} | more)


def put(installed: InstallationStream, fields: Sequence[AccountField]) -> None:
    """Keep fields with their marks."""
    installed.fields = [_to_json(field) for field in fields]
    installed.fields_checked_at = now()


def _to_json(field: AccountField) -> dict[str, Any]:
    return {name: value for name, value in asdict(field).items() if name != "sensitive"}


def _from_json(field: dict[str, Any]) -> AccountField:
    known = {name: field[name] for name in AccountField.__dataclass_fields__ if name in field}
    return AccountField(**known | {"choices": tuple(Choice(**choice) for choice in field.get("choices", ()))})
