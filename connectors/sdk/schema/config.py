"""Config fields: what the customer enters; and the hosts that may be called."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from connectors.sdk.fields import Choice
from connectors.sdk.schema.parts import Closed, Label, Name, Path, RootPath, Sentence, Template


class ConfigChoices(Closed):
    """Choices of a config field loaded from the connected account."""

    path: Template
    records: RootPath
    value: Path
    label: Path


class ConfigField(Closed):
    """One thing the customer enters."""

    name: Name
    label: Label
    kind: Literal["text", "secret", "choice", "flag", "number", "date", "origin", "list"] = Field(
        description="`origin` is scheme, host and port of a self-hosted product; `list` is texts, one a line."
    )
    help: Sentence
    example: Annotated[str, StringConstraints(max_length=200)] = ""
    required: bool = True
    pattern: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="A regular expression the whole value must match; needed where a host name is made of it."
    )
    choices: list[Choice] = []
    choices_from: ConfigChoices | None = Field(None, description="Loaded from the account, in the step `configure`.")
    default: str | None = None
    step: Literal["connect", "configure"] = "connect"
    auth: Name | None = Field(None, description="Only asked for with the kind of authorisation of this name.")


class HostsFrom(Closed):
    """The host is the origin the customer enters: self-hosted products."""

    field: Name = Field(alias="from")
