"""Writes: how a record is created, changed and deleted at the other side, and what makes that safe to repeat."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from connectors.sdk.schema.parts import Closed, Header, Path, Request, RootPath, Sentence


class Write(Closed):
    """One write. Its request is filled from `{fields}`, `{id}`, `{version}`, `{reference}` and `{key}`."""

    request: Request
    record: RootPath = Field("", description="Where the record stands in the answer.")
    id: Path | None = Field(None, description="Its id in the record; left out: as in the stream.")
    version: Path | None = Field(None, description="Its version in the record; left out: as in the stream.")
    version_header: Header | None = Field(None, description="Or a header, as ETag.")


class CreateSafety(Closed):
    """How a create whose answer was lost is kept from being done twice."""

    kind: Literal["idempotency_key", "lookup", "review"] = Field(
        description="The vendor refuses a repeated key; or we look for our reference; or a person decides."
    )
    header: Header | None = Field(None, description="idempotency_key: the header it is sent in.")
    window_hours: Annotated[int, Field(ge=1)] = Field(24, description="idempotency_key: how long the vendor knows it.")
    field: Path | None = Field(
        None, description="lookup: the field of the record that holds our reference; a create sets it."
    )
    request: Request | None = Field(None, description="lookup: the search for `{reference}`.")
    records: RootPath = ""
    lag_seconds: Annotated[int, Field(ge=0)] = Field(0, description="lookup: how late the search sees a new record.")
    because: Sentence | None = Field(None, description="review: why there is no other way.")

    @model_validator(mode="after")
    def _complete(self) -> "CreateSafety":
        needs = {"idempotency_key": "header", "lookup": "request", "review": "because"}[self.kind]
        if getattr(self, needs) is None:
            raise ValueError(f"create safety of kind {self.kind} needs {needs}")
        return self


class Concurrency(Closed):
    """How an update that would overwrite somebody else's change is noticed."""

    kind: Literal["if_match", "version_field", "none"] = Field(
        description="`none`: the record is read and compared just before it is written."
    )
    header: Header = Field("If-Match", description="if_match: filled with `{version}`.")
    format: str = Field("{version}", description='if_match: as in `"{version}"` with quotes.')
    field: Path | None = Field(None, description="version_field: the field of the body that holds `{version}`.")


class Batch(Closed):
    """Several writes in one call, with an answer for each."""

    request: Request = Field(description="`{items}` is the list.")
    item: dict[str, Any] = Field(description="One of the list, filled from `{fields}`, `{id}`, `{reference}`.")
    size: Annotated[int, Field(ge=2, le=1000)] = 100
    results: RootPath = ""
    match: Literal["index", "id", "reference"] = Field("index", description="How an answer finds its write.")
    match_path: Path | None = Field(None, description="Where an answer holds that id or reference.")
    errors: RootPath | None = Field(None, description="Where failed ones are listed apart.")
    error_match: Path | None = None
    error_message: Path = "message"

    @model_validator(mode="after")
    def _complete(self) -> "Batch":
        if self.match != "index" and not self.match_path:
            raise ValueError(f"match: {self.match} needs match_path")
        return self


class Writes(Closed):
    """What can be written to a stream."""

    texts: str | None = Field(
        None, description="All values are sent as texts, nothing as an empty one; this joins the values of a list."
    )
    scope: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        None, description="The optional permission it needs: nothing is written where the customer has left it out."
    )
    create: Write | None = None
    update: Write | None = Field(None, description="Absolute values only: a repeated update changes nothing.")
    delete: Write | None = None
    create_safety: CreateSafety | None = None
    concurrency: Concurrency = Concurrency(kind="none")
    batch_create: Batch | None = None
    batch_update: Batch | None = None

    @model_validator(mode="after")
    def _safe(self) -> "Writes":
        if (self.create or self.batch_create) and not self.create_safety:
            raise ValueError("create needs create_safety: an answer can be lost")
        if self.concurrency.kind == "version_field" and not self.concurrency.field:
            raise ValueError("concurrency of kind version_field needs field")
        return self
