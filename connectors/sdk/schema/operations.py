"""What holds for all calls: error table, limits, the check, changes between versions."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from connectors.sdk.schema.parts import Closed, Header, Name, Path, Request, Sentence, Template, Version


class ErrorRule(Closed):
    """What an answer means: all given predicates must hold; the first rule that does decides, also for a 200."""

    status: list[int] = []
    path: Path | None = Field(None, description="A value of the answer.")
    equals: Any = Field(None, description="What it must be; left out: anything but nothing.")
    text: Annotated[str, StringConstraints(max_length=200)] | None = Field(None, description="Stands in the body.")
    means: Literal[
        "retry", "rate_limited", "reconnect", "forbidden", "settings", "cursor_expired", "changed", "ignore",
        "skip_record", "fail",
    ] = Field(description="What the engine does next; `changed`: somebody else changed the record meanwhile.")  # fmt: skip
    scope: str | None = Field(None, description="forbidden: the permission that is missing.")
    scope_path: Path | None = Field(None, description="Or where the answer names it; `{scope}` in the texts is it.")
    sentence: Sentence | None = Field(None, description="For the customer: what happened.")
    fix: Sentence | None = Field(None, description="For the customer: what to do.")


class Budget(Closed):
    """A smaller budget for some of the calls."""

    paths: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(description="Stands in their path.")
    calls: Annotated[int, Field(ge=1)]
    seconds: Annotated[float, Field(gt=0)] = 1.0


class Limits(Closed):
    """What the other side allows, for each connection and over all workers."""

    calls: Annotated[int, Field(ge=1)] | None = Field(None, description="Calls in a window.")
    seconds: Annotated[float, Field(gt=0)] = Field(1.0, description="The window.")
    budgets: Annotated[list[Budget], Field(max_length=5)] = Field(
        [], description="Smaller ones for some calls, beside it."
    )
    concurrency: Annotated[int, Field(ge=1, le=100)] | None = Field(None, description="Calls at the same time.")
    remaining_header: Header | None = None
    reset_header: Header | None = None
    reset_kind: Literal["epoch", "epoch_ms", "seconds", "iso"] = "epoch"


class Check(Closed):
    """The call that proves a connection and names the account."""

    request: Request
    account_id: Path | None = None
    account_name: Path | None = None
    account_id_template: Template | None = Field(None, description="When no answer names it: made from settings.")


class Upgrade(Closed):
    """What an installation goes through that comes from a version below `below`."""

    below: Version
    rename: dict[Name, Name] = Field({}, description="Config fields: old name to new name.")
    set: dict[Name, str] = Field({}, description="Config fields that get a value where they have none.")
    drop: list[Name] = Field([], description="Config fields that go.")
    read_again: list[Name] = Field([], description="Streams that start with a full pass, which deletes nothing.")
