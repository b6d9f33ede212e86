"""Streams: one kind of external record, and how it is read."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from connectors.sdk.fields import Choice, FieldInfo, FieldType
from connectors.sdk.mapping_types import Rule, flows, rules_from_json
from connectors.sdk.outbound import overlapping, paths_out
from connectors.sdk.schema.parts import (
    Closed,
    Condition,
    Header,
    Label,
    Name,
    Parameter,
    Path,
    Request,
    RootPath,
    Template,
)
from connectors.sdk.schema.writes import Writes


class Paging(Closed):
    """How the next page is found."""

    kind: Literal["none", "cursor", "page", "offset", "last_id", "next_url", "link", "header_url"] = "none"
    parameter: Path = Field("cursor", description="Where the position goes; in a body, a dotted path.")
    place: Literal["query", "body"] = "query"
    path: Path | None = Field(None, description="cursor, next_url: where it stands in the answer; last_id: in an item.")
    more: Path | None = Field(None, description="A flag of the answer: whether there is another page.")
    header: Header = "next-page"
    size_parameter: Path | None = None
    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    start: int = 1
    max_pages: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000


class Deleted(Closed):
    """How an item says that its record is gone: this path holds this value."""

    path: Path
    equals: Any = True


class Incremental(Closed):
    """How only what changed is read. What is left out here is as in the full pass."""

    kind: Literal["field", "etag", "token"] = "field"
    parameter: Parameter | None = Field(None, description="The query parameter; else the request names `{since}`.")
    field: Path | None = Field(None, description="field: the time of the last change in an item.")
    path: Path | None = Field(None, description="token: where it stands in the answer.")
    format: Literal["iso", "iso_ms", "date", "epoch_s", "epoch_ms", "custom", "text"] = "iso"
    pattern: Annotated[str, StringConstraints(max_length=60)] | None = Field(
        None, description="custom: as of strftime."
    )
    lookback_seconds: Annotated[int, Field(ge=0, le=604_800)] | None = Field(
        None, description="How far a pass goes back; left out: by precision (1 day for dates, 5 min for times)."
    )
    strip: Annotated[str, StringConstraints(max_length=4)] = Field("", description="etag: taken off both ends.")
    order: Literal["oldest", "newest"] | None = Field(
        None, description="`newest`: the feed cannot be asked from a time on; reading ends at the first older item."
    )
    keeps_days: Annotated[int, Field(ge=1, le=366)] | None = Field(
        None, description="The other side keeps changes for so long: with an older cursor the stream is read in full."
    )
    until_parameter: Parameter | None = Field(None, description="The end of a step window.")
    step_seconds: Annotated[int, Field(ge=60)] | None = Field(None, description="Time is read in windows of this size.")
    cap: Annotated[int, Field(ge=2)] | None = Field(
        None, description="The list ends after so many items whatever there is: a new window starts from the last one."
    )
    request: Request | None = None
    records: RootPath | None = None
    item: RootPath | None = None
    id: Path | None = None
    paging: Paging | None = None
    deleted: Deleted | None = None
    where: list[Condition] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Incremental":
        if self.kind == "field" and not self.field:
            raise ValueError("a cursor of kind field needs the field it is read from")
        if self.kind == "token" and not self.path:
            raise ValueError("a cursor of kind token needs the path of the token")
        if (self.format == "custom") != (self.pattern is not None):
            raise ValueError("pattern goes with format: custom")
        if self.cap and (self.kind != "field" or self.order == "newest"):
            raise ValueError("cap needs a cursor of kind field whose list is sorted oldest first")
        return self

    @property
    def lookback(self) -> int:
        """Seconds that a pass goes back."""
        if self.lookback_seconds is not None:
            return self.lookback_seconds
        return {"date": 86_400, "text": 0}.get(self.format, 300)


class Parent(Closed):
    """Children are read for each parent: a record of another stream, or one of a list."""

    stream: Name | None = Field(None, description="The stream whose records are the parents.")
    values: list[str] = Field([], description="A fixed list.")
    config: Name | None = Field(None, description="A config field of kind list.")
    split: Annotated[str, StringConstraints(min_length=1, max_length=3)] | None = Field(None, description="Cuts an id.")
    names: list[Name] = Field([], description="What the parts are called: `{parent.owner}`.")
    incremental: bool = Field(False, description="Only children of parents that have changed are read.")
    scoped_ids: bool = Field(False, description="Ids of children are unique only within their parent.")

    @model_validator(mode="after")
    def _one(self) -> "Parent":
        if sum(bool(source) for source in (self.stream, self.values, self.config)) != 1:
            raise ValueError("give exactly one of stream, values, config")
        return self


class StreamField(Closed):
    """A field every account has."""

    name: Path
    label: Label
    type: FieldType = "text"
    required: bool = False
    read_only: bool = False
    choices: list[Choice] = []
    sensitive: bool = Field(False, description="Never shown in a kept payload.")


class Discovery(Closed):
    """The call that lists an account's own fields."""

    request: Request
    records: RootPath = ""
    name: Path = "name"
    label: Path = "label"
    type: Path = "type"
    subtype: Path | None = Field(
        None, description="Tells types apart further: `types` is asked for `type.subtype` first."
    )
    prefix: Annotated[str, StringConstraints(max_length=60)] = Field(
        "", description="Put before a name to make its path."
    )
    types: dict[str, FieldType] = Field({}, description="The vendor's type to ours; text where it is not here.")
    custom: Path | None = Field(None, description="True where the field is the account's own.")
    standard: Path | None = Field(None, description="True where it is the vendor's: the opposite of custom.")
    required: Path | None = None
    read_only: Path | None = None
    choices: Path | None = None
    choice_value: Path = "value"
    choice_label: Path = "label"
    where: list[Condition] = []


class MappingRule(Closed):
    """A rule of the default mapping; see the guide on mapping."""

    target: Name
    sources: list[Path] = []
    transforms: list[dict[str, Any]] = []
    default: Any = None
    required: bool = False
    on_error: Literal["fail_record", "skip_field"] = "fail_record"
    direction: Literal["in", "out", "both", "off"] | None = Field(
        None, description="Left out: both ways where the rule can be turned round and its fields be written, else in."
    )
    conflict: Literal["theirs", "ours", "newest", "ask"] | None = Field(
        None, description="Whose value holds when both sides have changed it; left out: as in the stream."
    )


class Stream(Closed):
    """One kind of external record."""

    name: Name
    label: Label
    object_type: Name
    request: Request
    records: RootPath = Field("", description="Where the list stands in the answer.")
    item: RootPath = Field("", description="Where the record stands in an item of the list.")
    id: Path = "id"
    version: Path | None = None
    updated: Path | None = None
    trusted_clock: bool = Field(
        False, description="`updated` is the time of the last change by a clock that can be compared with ours."
    )
    total: Path | None = None
    total_header: Header | None = None
    paging: Paging = Paging()
    where: list[Condition] = Field([], description="Items that do not meet all of these are left out.")
    add: dict[Name, Template] = Field({}, description="Fields added to each record, as `{parent.id}`.")
    remove: list[Path] = Field([], description="Fields taken off: what changes by itself would make every record new.")
    parent: Parent | None = None
    incremental: Incremental | None = None
    cursor_version: Annotated[int, Field(ge=1)] = Field(
        1, description="Raised when cursors of older versions do not fit."
    )
    deleted: Deleted | None = None
    fetch: Request | None = Field(None, description="One record by `{id}`.")
    fetch_record: RootPath = ""
    fields: Annotated[list[StreamField], Field(min_length=1, max_length=300)]
    discovery: Discovery | None = None
    match_key: Name | None = None
    second_key: Name | None = Field(None, description="Matched by where the first key finds nothing.")
    mapping: Annotated[list[MappingRule], Field(min_length=1, max_length=200)]
    writes: Writes | None = None

    def rules(self) -> list[Rule]:
        """Return the default mapping. A rule that names no direction flows both ways where it can."""
        rules = rules_from_json([rule.model_dump() for rule in self.mapping])
        if self.writes is None:
            return rules
        sources = {info.name: info for info in self.field_infos()}
        written = [path for rule in rules if flows(rule.direction, "out") for path in paths_out(rule, sources)]
        # What holds our reference or the version is not ours to write.
        safety, guard = self.writes.create_safety, self.writes.concurrency
        written += [path for path in (safety and safety.field, guard.field) if path]
        # A field of one source goes before one that is joined of several: two cannot flow out to the same place.
        for number in sorted(range(len(rules)), key=lambda number: len(rules[number].sources)):
            if self.mapping[number].direction is not None:
                continue
            paths = paths_out(rules[number], sources)
            if paths and not any(overlapping(path, written) for path in paths):
                rules[number] = replace(rules[number], direction="both")
                written += paths
        return rules

    def field_infos(self) -> list[FieldInfo]:
        """Return the declared fields."""
        return [
            FieldInfo(f.name, f.label, f.type, f.required, read_only=f.read_only, choices=tuple(f.choices))
            for f in self.fields
        ]
