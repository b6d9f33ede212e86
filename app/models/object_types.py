"""The host's side: object types and their typed fields."""

from typing import Any

from sqlalchemy import Boolean, ForeignKey, Integer, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import IdModel, Json


class ObjectType(IdModel):
    """A kind of record of the host: contact, company, deal and so on."""

    __tablename__ = "object_types"

    name: Mapped[str] = mapped_column(Text, unique=True)
    label: Mapped[str] = mapped_column(Text)
    plural: Mapped[str] = mapped_column(Text)
    title_field: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(Integer, default=0, server_default="0")


class ObjectField(IdModel):
    """A typed field of an object type. `unique_hint` fields are kept in record_keys and found by value."""

    __tablename__ = "object_fields"
    __table_args__ = (UniqueConstraint("object_type", "name"),)

    object_type: Mapped[str] = mapped_column(Text, ForeignKey("object_types.name"))
    name: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    required: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    unique_hint: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    sensitive: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    choices: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, server_default="[]")
    position: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
