"""Object types: what kinds of records the host has, and their fields."""

from typing import Any

from pydantic import BaseModel, Field

from app.api.operations import Noun
from app.api.paging import Page
from app.models.object_types import ObjectType as TypeRow
from app.services import object_types

noun = Noun("object_types", "Object types", "The kinds of records the host has, and their fields.")


class ObjectField(BaseModel):
    """A typed field. Records can be found by a `key` field."""

    name: str
    label: str
    type: str
    required: bool
    key: bool
    sensitive: bool
    choices: list[dict[str, Any]] = Field(description="Of a choice field: value and label.")


class ObjectType(BaseModel):
    """A kind of record."""

    name: str
    label: str
    plural: str
    title_field: str


class ObjectTypeDetails(ObjectType):
    """A kind of record with its fields."""

    fields: list[ObjectField]


class ObjectTypes(Page[ObjectType]):
    """All kinds of records."""


def _shown(row: TypeRow) -> dict[str, Any]:
    return {"name": row.name, "label": row.label, "plural": row.plural, "title_field": row.title_field}


@noun.get("/object-types", scope="list", answer=ObjectTypes, tenant=False)
def list_object_types() -> ObjectTypes:
    """List the object types"""
    found = [ObjectType.model_validate(_shown(row)) for row in object_types.list_object_types()]
    return ObjectTypes(data=found, next=None)


@noun.get("/object-types/<object_type>", scope="list", answer=ObjectTypeDetails, tenant=False)
def show_object_type(object_type: str) -> ObjectTypeDetails:
    """Show an object type with its fields"""
    row = object_types.get_object_type(object_type)
    fields = [
        ObjectField(
            name=f.name, label=f.label, type=f.type, required=f.required, key=f.unique_hint, sensitive=f.sensitive,
            choices=f.choices,
        )
        for f in object_types.list_fields(object_type)
    ]  # fmt: skip
    return ObjectTypeDetails.model_validate(_shown(row) | {"fields": fields})
