"""What all parts of the schema are made of: names, texts, paths, places, conditions, requests."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from connectors.sdk.expressions import PATH

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
Path = Annotated[str, StringConstraints(pattern=f"^{PATH}$", max_length=300)]
RootPath = Annotated[str, StringConstraints(pattern=f"^({PATH})?$", max_length=300)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=600)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=80)]
Template = Annotated[str, StringConstraints(max_length=1000)]
Parameter = Annotated[str, StringConstraints(pattern=r"^[^\s{}&=#?]{1,80}$")]
Header = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,60}$")]
# A host, or one whose first labels come from a setting with a pattern: {config.shop}.example.com.
Host = Annotated[
    str, StringConstraints(pattern=r"^(\{(config|kept)\.[a-z0-9_]+\}|[a-z0-9]([a-z0-9-]*[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$")
]  # fmt: skip
Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]


class Closed(BaseModel):
    """A part of the schema: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(Closed):
    """A test of one value of an item; exactly one of the three."""

    path: Path
    exists: bool | None = Field(None, description="The path holds something (true) or nothing (false).")
    one_of: list[Any] | None = Field(None, description="The value is one of these.")
    none_of: list[Any] | None = Field(None, description="The value is none of these.")

    @model_validator(mode="after")
    def _one(self) -> "Condition":
        if sum(value is not None for value in (self.exists, self.one_of, self.none_of)) != 1:
            raise ValueError("give exactly one of exists, one_of, none_of")
        return self


class Request(Closed):
    """One call: an address below a host, filled from settings, stream, parent, record and page."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    host: Host | None = Field(None, description="Another of the manifest's hosts than the first.")
    path: Template = Field(description="Each place fills one segment, percent-encoded: `/contacts/{id}`.")
    query: dict[Parameter, Any] = Field({}, description="Parameters; one whose place is empty is left out.")
    headers: dict[Header, Template] = {}
    body: dict[str, Any] | list[Any] | Template | None = Field(None, description="Sent as JSON. `{fields}` alone is all of the mapped fields.")  # fmt: skip
    form: dict[str, Any] | Template | None = Field(None, description="Sent form-encoded, with nested keys as `a[b]`.")

    @model_validator(mode="after")
    def _one_body(self) -> "Request":
        if self.body is not None and self.form is not None:
            raise ValueError("give body or form, not both")
        if self.method == "GET" and (self.body is not None or self.form is not None):
            raise ValueError("a GET request has no body: use POST, or put it into query")
        return self
