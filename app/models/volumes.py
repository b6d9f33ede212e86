"""How many records have changed in each hour, so that pages need not count the journal."""

import uuid
from datetime import datetime

from sqlalchemy import Integer, PrimaryKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Timestamp, db


class Volume(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """The changes of one hour that is over; an hour without any has no row."""

    __tablename__ = "volumes"
    __table_args__ = (PrimaryKeyConstraint("tenant_id", "hour"),)

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    hour: Mapped[datetime] = mapped_column(Timestamp)
    created: Mapped[int] = mapped_column(Integer)
    # Changed, joined or brought back.
    updated: Mapped[int] = mapped_column(Integer)
    deleted: Mapped[int] = mapped_column(Integer)
