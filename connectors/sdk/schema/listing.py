"""The listing: what the catalog shows."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from connectors.sdk.schema.parts import Closed, Label, Sentence


class DataUse(Closed):
    """One kind of data the integration moves."""

    object: Label
    text: Sentence


class Listing(Closed):
    """The page in the catalog."""

    name: Label = Field(description="What people call the product.")
    summary: Annotated[str, StringConstraints(min_length=10, max_length=160)] = Field(
        description="One sentence for the card."
    )
    description: Annotated[str, StringConstraints(min_length=20, max_length=4000)] = Field(
        description="A paragraph for the page."
    )
    categories: Annotated[list[Label], Field(min_length=1, max_length=5)] = Field(description="Shelves it stands on.")
    publisher: Label = Field("Patchbay", description="Who answers for it.")
    stage: Literal["released", "beta", "deprecated"] = Field(
        "released", description="deprecated: it goes on working where it is installed, and is not installed anew."
    )
    data: Annotated[list[DataUse], Field(min_length=1, max_length=20)] = Field(description="What it moves, in words.")
    limits: Annotated[list[Sentence], Field(max_length=20)] = Field([], description="What it does not do.")
    removal: Sentence = Field(description="What happens to data and access when the integration is removed.")
