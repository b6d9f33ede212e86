"""How much has changed in each hour and moved in each day, so that pages need not count journals, runs and writes."""

import uuid
from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Integer, PrimaryKeyConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Timestamp, db, tenant_fk


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


class StreamVolume(db.Model):  # type: ignore[name-defined,misc]  # as above
    """What runs did to the records of one stream on one day of UTC, and what the other side has accepted from it.

    Each stream has a row for each day that is counted, also a quiet one: the newest says from when on to count live.
    """

    __tablename__ = "stream_volumes"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "installation_id", "day", "stream"),
        tenant_fk("installation_id", "installations"),
    )

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    day: Mapped[date] = mapped_column(Date)
    stream: Mapped[str] = mapped_column(Text)
    created: Mapped[int] = mapped_column(BigInteger)
    # Changed or joined.
    updated: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[int] = mapped_column(BigInteger)
    read: Mapped[int] = mapped_column(BigInteger)
    pages: Mapped[int] = mapped_column(BigInteger)
    written_create: Mapped[int] = mapped_column(BigInteger)
    written_update: Mapped[int] = mapped_column(BigInteger)
    written_delete: Mapped[int] = mapped_column(BigInteger)
