"""The catalog: a listing and its immutable versions."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, ForeignKey, Index, Integer, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import IdModel, Json, Timestamp


class Listing(IdModel):
    """A connector's page in the catalog; texts are those of its current version."""

    __tablename__ = "listings"
    __table_args__ = (
        CheckConstraint("stage in ('released', 'beta', 'deprecated')", name="stage"),
        Index("ix_listings_words", "words", postgresql_using="gin", postgresql_ops={"words": "gin_trgm_ops"}),
    )

    slug: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text)
    categories: Mapped[list[str]] = mapped_column(ARRAY(Text))
    publisher: Mapped[str] = mapped_column(Text, default="Patchbay", server_default="Patchbay")
    status: Mapped[str] = mapped_column(Text, default="live", server_default="live")
    # From here on what listing_facts.columns makes of the manifest, for search, filters and cards.
    stage: Mapped[str] = mapped_column(Text, default="released", server_default="released")
    words: Mapped[str] = mapped_column(Text, default="", server_default="")
    streams: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list, server_default="[]")
    capabilities: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    signs_in: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    hosts: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    featured: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    current_version: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    updated_at: Mapped[datetime | None] = mapped_column(Timestamp)


class ListingVersion(IdModel):
    """One version: the canonical JSON that runs, and its SHA-256. Never changed."""

    __tablename__ = "listing_versions"
    __table_args__ = (
        UniqueConstraint("listing_id", "number"),
        UniqueConstraint("listing_id", "digest"),
        CheckConstraint("number > 0", name="number"),
    )

    listing_id: Mapped[uuid.UUID] = mapped_column(Uuid, ForeignKey("listings.id"))
    number: Mapped[int] = mapped_column(Integer)
    label: Mapped[str] = mapped_column(Text)
    manifest: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    changes: Mapped[str] = mapped_column(Text, default="", server_default="")
