"""Mappings of an installation's streams."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.installations import unfit
from app.api.operations import Noun
from app.services import mappings
from connectors.sdk import MappingError, rules_from_json, rules_to_json

noun = Noun("mappings", "Mappings", "How fields of the vendor become the host's, for each stream.")


class TransformBody(BaseModel):
    """A step that a value goes through."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=60)]
    args: dict[str, Any] = {}


class RuleBody(BaseModel):
    """How one field of the host is made."""

    model_config = ConfigDict(extra="forbid")

    target: Annotated[str, Field(min_length=1, max_length=100)]
    sources: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=10)] = []
    transforms: Annotated[list[TransformBody], Field(max_length=20)] = []
    direction: Literal["in", "out", "both", "off"] = "in"
    required: bool = False
    default: Any = None
    on_error: Literal["fail_record", "skip_field"] = "fail_record"
    conflict: Literal["theirs", "ours", "newest", "ask"] | None = None


class MappingBody(BaseModel):
    """All rules of a stream."""

    model_config = ConfigDict(extra="forbid")

    rules: Annotated[list[RuleBody], Field(min_length=1, max_length=300)]


class Mapping(BaseModel):
    """The rules in force."""

    stream: str
    version: int
    rules: list[dict[str, Any]]


@noun.get("/installations/<uuid:installation_id>/mappings/<stream>", scope="read", answer=Mapping)
def show_mapping(installation_id: uuid.UUID, stream: str) -> Mapping:
    """Show the mapping of a stream that is in force"""
    content = mappings.get_content(gate.caller().tenant_id, installation_id, stream)
    return Mapping(
        stream=stream, version=content.installed.mapping_version, rules=rules_to_json(content.rules_in_force)
    )


@noun.put(
    "/installations/<uuid:installation_id>/mappings/<stream>", scope="admin", body=MappingBody, answer=Mapping,
    also=(409,),
)  # fmt: skip
def put_mapping(installation_id: uuid.UUID, stream: str, body: MappingBody) -> Mapping:
    """Put another mapping of a stream in force

    It gets the next version, and the next run reads everything again. A draft of the editor stays a draft.
    """
    who = gate.caller()
    rules = rules_from_json([rule.model_dump(mode="json") for rule in body.rules])
    try:
        mappings.put_in_force(who.tenant_id, installation_id, stream, rules=rules, user_id=who.key_id)
    except MappingError as error:
        raise unfit(error) from None
    return show_mapping(installation_id, stream)
