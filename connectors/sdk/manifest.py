"""The manifest: what an integration declares. Closed models; an unknown key is an error with its place and fix."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, ValidationError

from connectors.sdk import checks
from connectors.sdk.loader import Issue, ManifestError, load_yaml
from connectors.sdk.schema.auth import Auth, Key, Scope
from connectors.sdk.schema.config import ConfigField, HostsFrom
from connectors.sdk.schema.listing import Listing
from connectors.sdk.schema.operations import Check, ErrorRule, Limits, Upgrade
from connectors.sdk.schema.parts import Closed, Condition, Host, Request, Sentence, Slug, Version
from connectors.sdk.schema.streams import Incremental, Paging, Parent, Stream
from connectors.sdk.schema.webhooks import Webhooks
from connectors.sdk.schema.writes import Batch, Write, Writes

__all__ = [
    "Auth", "Batch", "Check", "Condition", "ConfigField", "ErrorRule", "HostsFrom", "Incremental", "Key", "Limits",
    "Listing", "Manifest", "Paging", "Parent", "Request", "Scope", "Stream", "Upgrade", "Webhooks", "Write", "Writes",
]  # fmt: skip


class Manifest(Closed):
    """An integration, whole."""

    schema_version: Literal[1] = 1
    slug: Slug = Field(description="The folder's name; part of addresses, so it never changes.")
    version: Version
    changes: Sentence = Field("First version.", description="What is new, for people who have it installed.")
    listing: Listing
    hosts: Annotated[list[Host], Field(min_length=1, max_length=10)] | HostsFrom = Field(
        description="The hosts that may be called, by https; the first is the one of requests that name none."
    )
    auth: Auth
    alternatives: Annotated[list[Auth], Field(max_length=5)] = Field(
        [], description="Other ways to authorise, to choose from."
    )
    config: Annotated[list[ConfigField], Field(max_length=30)] = []
    limits: Limits = Limits()
    errors: Annotated[list[ErrorRule], Field(max_length=100)] = []
    check: Check
    streams: Annotated[list[Stream], Field(min_length=1, max_length=50)]
    webhooks: Webhooks | None = None
    upgrades: Annotated[list[Upgrade], Field(max_length=50)] = []

    def stream(self, name: str) -> Stream:
        """Return the stream of that name; KeyError when there is none."""
        found = next((stream for stream in self.streams if stream.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def secret_fields(self) -> tuple[str, ...]:
        """Return the names of the config fields that hold secrets."""
        return tuple(field.name for field in self.config if field.kind == "secret")

    def auths(self) -> list[Auth]:
        """Return all ways to authorise, the default first."""
        return [self.auth, *self.alternatives]

    def auth_for(self, settings: Mapping[str, Any]) -> Auth:
        """Return the way to authorise that a connection's settings name, the default when they name none."""
        return next((auth for auth in self.alternatives if auth.name == settings.get("auth")), self.auth)

    def config_for(self, auth: Auth, step: str) -> list[ConfigField]:
        """Return the config fields of a wizard step with this way to authorise."""
        return [field for field in self.config if field.step == step and field.auth in (None, auth.name)]


def load_manifest(content: bytes | str, *, source: str = "manifest.yaml") -> Manifest:
    """Return the manifest in a YAML text; ManifestError lists everything wrong with line, path and fix."""
    data, lines = load_yaml(content, source)
    manifest = _validate(data, lines, source)
    issues = checks.check(manifest)
    if issues:
        raise ManifestError(source, [replace(issue, line=_line(issue.path.split("."), lines)) for issue in issues])
    return manifest


def manifest_from_json(data: bytes | str | dict[str, Any]) -> Manifest:
    """Return the manifest from canonical JSON, as stored with a version."""
    return _validate(data if isinstance(data, dict) else orjson.loads(data), {}, "stored manifest")


_FIXES = {
    "extra_forbidden": "Take this key away or correct its spelling.",
    "missing": "Add this key.",
    "string_pattern_mismatch": "Write it as the reference page shows; names are lower case letters, digits and _.",
    "value_error": "See the reference page, docs/manifest.md.",
}
_UNION = re.compile(r"^(list\[|HostsFrom|function-|dict\[|constrained-str|str$|Auth$)")


def shape_ids() -> dict[str, str]:
    """Return the ids of the most frequent errors of shape -> what they are about; others are named by pydantic."""
    return {
        "extra_forbidden": "A key that the schema does not know.",
        "missing": "A required key is not there.",
        "string_pattern_mismatch": "A text does not have the form of a name, path, host or version.",
        "string_type, int_type, bool_type, list_type, dict_type": "A value of another type.",
        "literal_error": "A word that is none of those allowed.",
        "value_error": "Keys that do not go together; the message says which.",
    }


def _validate(data: Any, lines: dict[str, int], source: str) -> Manifest:
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestError(source, [_issue(found, lines) for found in error.errors(include_url=False)]) from None


def _issue(found: Any, lines: dict[str, int]) -> Issue:
    parts = [str(part) for part in found["loc"] if not _UNION.match(str(part))]
    path = ".".join(parts)
    message = str(found["msg"]).removeprefix("Value error, ")
    fix = _FIXES.get(found["type"], "Correct the value; the reference page docs/manifest.md has an example.")
    return Issue(path, _line(parts, lines), f"{message}.", fix, found["type"])


def _line(parts: list[str], lines: dict[str, int]) -> int:
    """Return the line of a path, or of what is nearest above it."""
    nearest = next((".".join(parts[:n]) for n in range(len(parts), -1, -1) if ".".join(parts[:n]) in lines), "")
    return lines.get(nearest, 0)


def canonical(manifest: Manifest) -> bytes:
    """Return the canonical JSON of a manifest: what is hashed, approved, stored and run."""
    data = manifest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def digest(manifest: Manifest) -> str:
    """Return the SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(manifest)).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Manifest.model_json_schema(by_alias=True)}
