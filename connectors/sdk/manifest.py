"""The manifest: what an integration declares. Closed models; an unknown key is an error with its place and fix."""

import hashlib
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from connectors.sdk.expressions import PATH
from connectors.sdk.fields import Choice, FieldInfo, FieldType
from connectors.sdk.loader import Issue, ManifestError, load_yaml
from connectors.sdk.mapping import Rule, rules_from_json

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
Path = Annotated[str, StringConstraints(pattern=f"^{PATH}$", max_length=300)]
RootPath = Annotated[str, StringConstraints(pattern=f"^({PATH})?$", max_length=300)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=600)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Template = Annotated[str, StringConstraints(max_length=1000)]
Host = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataUse(_Closed):
    """One kind of data the integration moves, for the listing."""

    object: Label
    text: Sentence


class Listing(_Closed):
    """The page in the catalog."""

    name: Label = Field(description="What people call the product.")
    summary: Annotated[str, StringConstraints(min_length=10, max_length=160)]
    description: Annotated[str, StringConstraints(min_length=20, max_length=4000)]
    categories: Annotated[list[Label], Field(min_length=1, max_length=5)]
    publisher: Label = "Patchbay"
    data: Annotated[list[DataUse], Field(min_length=1, max_length=20)]
    limits: Annotated[list[Sentence], Field(max_length=20)] = []
    removal: Sentence = Field(description="What happens to data and access when the integration is removed.")


class ConfigChoices(_Closed):
    """Choices of a config field loaded from the connected account."""

    path: Template
    records: RootPath
    value: Path
    label: Path


class ConfigField(_Closed):
    """One thing the customer enters."""

    name: Name
    label: Label
    kind: Literal["text", "secret", "choice", "flag", "number", "date", "origin"]
    help: Sentence
    example: Annotated[str, StringConstraints(max_length=200)] = ""
    required: bool = True
    pattern: Annotated[str, StringConstraints(max_length=200)] | None = None
    choices: list[Choice] = []
    choices_from: ConfigChoices | None = None
    default: str | None = None
    step: Literal["connect", "configure"] = "connect"


class HostsFrom(_Closed):
    """The host is the origin the customer enters: self-hosted products."""

    field: Name = Field(alias="from")


class Scope(_Closed):
    """A permission asked for, and why."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    reason: Sentence


class Auth(_Closed):
    """How calls are authorised. Credentials cannot be named anywhere else in a manifest."""

    kind: Literal["none", "api_key", "bearer", "basic", "oauth2"]
    field: Name | None = Field(None, description="api_key and bearer: the secret config field.")
    place: Literal["header", "query"] = "header"
    parameter: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,60}$")] = "Authorization"
    prefix: Annotated[str, StringConstraints(max_length=40)] = ""
    username: Name | None = Field(None, description="basic: the config field with the user name.")
    password: Name | None = Field(None, description="basic: the secret config field with the password.")
    authorize_url: Template | None = None
    token_url: Template | None = None
    revoke_url: Template | None = None
    scopes: list[Scope] = []
    scope_separator: Literal[" ", ","] = " "
    pkce: bool = True
    client_auth: Literal["body", "basic"] = "body"
    keep: list[Path] = Field([], description="oauth2: values of the token answer to keep.")


class Request(_Closed):
    """One call: path below the host, filled from settings, stream and page."""

    method: Literal["GET", "POST"] = "GET"
    path: Template
    query: dict[str, Any] = {}
    headers: dict[str, Template] = {}
    body: dict[str, Any] | None = None


class Check(_Closed):
    """The call that proves a connection and names the account."""

    request: Request
    account_id: Path | None = None
    account_name: Path | None = None
    account_id_template: Template | None = Field(None, description="When no answer names it: made from settings.")


class Paging(_Closed):
    """How the next page is found."""

    kind: Literal["none", "cursor", "page", "offset", "next_url", "link", "header_url"] = "none"
    parameter: Annotated[str, StringConstraints(max_length=60)] = "cursor"
    path: Path | None = Field(None, description="cursor and next_url: where it stands in the answer.")
    header: Annotated[str, StringConstraints(max_length=60)] = "next-page"
    size_parameter: Annotated[str, StringConstraints(max_length=60)] | None = None
    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    start: int = 1
    max_pages: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000


class Incremental(_Closed):
    """How only what changed is read: a field with a lookback, or a token of the answer."""

    parameter: Annotated[str, StringConstraints(max_length=60)]
    kind: Literal["field", "etag", "token"] = "field"
    field: Path | None = Field(None, description="field: the time of the last change in a record.")
    path: Path | None = Field(None, description="token: where it stands in the answer.")
    format: Literal["iso", "epoch_s", "epoch_ms", "text"] = "iso"
    lookback_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    strip: Annotated[str, StringConstraints(max_length=4)] = ""


class StreamField(_Closed):
    """A field every account has."""

    name: Path
    label: Label
    type: FieldType = "text"
    required: bool = False
    choices: list[Choice] = []
    sensitive: bool = False


class Discovery(_Closed):
    """The call that lists an account's own fields."""

    request: Request
    records: RootPath = ""
    name: Path = "name"
    label: Path = "label"
    type: Path = "type"
    prefix: Annotated[str, StringConstraints(max_length=60)] = ""
    types: dict[str, FieldType] = {}
    custom: Path | None = None
    choices: Path | None = None


class Deleted(_Closed):
    """How a record says that it is gone: this path holds this value."""

    path: Path
    equals: Any = True


class MappingRule(_Closed):
    """A rule of the default mapping; see the guide on mapping."""

    target: Name
    sources: list[Path] = []
    transforms: list[dict[str, Any]] = []
    default: Any = None
    required: bool = False
    on_error: Literal["fail_record", "skip_field"] = "fail_record"


class Stream(_Closed):
    """One kind of external record."""

    name: Name
    label: Label
    object_type: Name
    request: Request
    records: RootPath = ""
    id: Path = "id"
    version: Path | None = None
    updated: Path | None = None
    total: Path | None = None
    total_header: Annotated[str, StringConstraints(max_length=60)] | None = None
    paging: Paging = Paging()
    incremental: Incremental | None = None
    deleted: Deleted | None = None
    fetch: Request | None = None
    fetch_record: RootPath = ""
    fields: Annotated[list[StreamField], Field(min_length=1, max_length=300)]
    discovery: Discovery | None = None
    match_key: Name | None = None
    mapping: Annotated[list[MappingRule], Field(min_length=1, max_length=200)]

    def rules(self) -> list[Rule]:
        """Return the default mapping."""
        return rules_from_json([rule.model_dump() for rule in self.mapping])

    def field_infos(self) -> list[FieldInfo]:
        """Return the declared fields."""
        return [FieldInfo(f.name, f.label, f.type, f.required, choices=tuple(f.choices)) for f in self.fields]


class ErrorRule(_Closed):
    """What an answer means: all given predicates must hold; the first rule that does decides."""

    status: list[int] = []
    path: Path | None = None
    equals: Any = None
    text: Annotated[str, StringConstraints(max_length=200)] | None = None
    means: Literal["retry", "rate_limited", "reconnect", "forbidden", "settings", "cursor_expired", "ignore", "fail"]
    sentence: Sentence | None = None
    fix: Sentence | None = None


class Limits(_Closed):
    """What the other side allows."""

    calls: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[float, Field(gt=0)] = 1.0
    remaining_header: Annotated[str, StringConstraints(max_length=60)] | None = None
    reset_header: Annotated[str, StringConstraints(max_length=60)] | None = None
    reset_kind: Literal["epoch", "seconds"] = "epoch"


class Manifest(_Closed):
    """An integration, whole."""

    schema_version: Literal[1] = 1
    slug: Slug
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    changes: Sentence = "First version."
    listing: Listing
    hosts: list[Host] | HostsFrom
    auth: Auth
    config: Annotated[list[ConfigField], Field(max_length=30)] = []
    limits: Limits = Limits()
    errors: Annotated[list[ErrorRule], Field(max_length=100)] = []
    check: Check
    streams: Annotated[list[Stream], Field(min_length=1, max_length=50)]

    def stream(self, name: str) -> Stream:
        """Return the stream of that name; KeyError when there is none."""
        found = next((stream for stream in self.streams if stream.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def secret_fields(self) -> tuple[str, ...]:
        """Return the names of the config fields that hold secrets."""
        return tuple(field.name for field in self.config if field.kind == "secret")

    @model_validator(mode="after")
    def _consistent(self) -> "Manifest":
        kinds = {field.name: field.kind for field in self.config}
        if len(kinds) != len(self.config) or len({s.name for s in self.streams}) != len(self.streams):
            raise ValueError("names of config fields and of streams must be unique")
        if isinstance(self.hosts, HostsFrom) and kinds.get(self.hosts.field) != "origin":
            raise ValueError(f"hosts: {self.hosts.field} must be a config field of kind origin")
        wanted = {"api_key": (self.auth.field,), "bearer": (self.auth.field,), "basic": (self.auth.password,)}
        for name in wanted.get(self.auth.kind, ()):
            if kinds.get(name or "") != "secret":
                raise ValueError(f"auth: {name} must be a config field of kind secret")
        if self.auth.kind == "oauth2" and not (self.auth.authorize_url and self.auth.token_url and self.auth.scopes):
            raise ValueError("auth: oauth2 needs authorize_url, token_url and scopes with reasons")
        return self


def load_manifest(content: bytes | str, *, source: str = "manifest.yaml") -> Manifest:
    """Return the manifest in a YAML text; ManifestError lists everything wrong with line, path and fix."""
    data, lines = load_yaml(content, source)
    return _validate(data, lines, source)


def manifest_from_json(data: bytes | str | dict[str, Any]) -> Manifest:
    """Return the manifest from canonical JSON, as stored with a version."""
    return _validate(data if isinstance(data, dict) else orjson.loads(data), {}, "stored manifest")


def _validate(data: Any, lines: dict[str, int], source: str) -> Manifest:
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestError(source, [_issue(found, lines) for found in error.errors(include_url=False)]) from None


def _issue(found: Any, lines: dict[str, int]) -> Issue:
    parts = [str(part) for part in found["loc"] if not str(part).startswith(("list[", "HostsFrom", "function-"))]
    path = ".".join(parts)
    nearest = next((".".join(parts[:n]) for n in range(len(parts), -1, -1) if ".".join(parts[:n]) in lines), "")
    fixes = {
        "extra_forbidden": "Take this key away or correct its spelling.",
        "missing": "Add this key.",
        "string_pattern_mismatch": "Correct the value.",
    }
    return Issue(path, lines.get(nearest, 0), f"{found['msg']}.", fixes.get(found["type"], ""))


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
