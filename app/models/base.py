"""What all models share: identifiers, timestamps, and the tenant with its composite keys."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, ForeignKeyConstraint, MetaData, PrimaryKeyConstraint, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, declared_attr, mapped_column
from sqlalchemy.types import Uuid

from app.clock import now
from app.db import Base, db
from app.ids import new_id

__all__ = ["Base", "IdModel", "Json", "TenantModel", "Text", "Timestamp", "db", "moment", "tenant_fk"]

Json = JSONB
Timestamp = DateTime(timezone=True)


def moment(**options: Any) -> Any:
    """A NOT NULL time column that defaults to now."""
    return mapped_column(Timestamp, default=now, server_default=func.now(), nullable=False, **options)


class IdModel(db.Model):  # type: ignore[name-defined,misc]  # Flask-SQLAlchemy types db.Model as a variable
    """A platform row: its id is its key."""

    __abstract__ = True
    metadata: MetaData

    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=new_id)
    created_at: Mapped[datetime] = moment()


class TenantModel(db.Model):  # type: ignore[name-defined,misc]  # as above
    """A tenant's row: primary key (tenant_id, id), guarded by row level security."""

    __abstract__ = True
    metadata: MetaData

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid, nullable=False)
    id: Mapped[uuid.UUID] = mapped_column(Uuid, nullable=False, default=new_id)
    created_at: Mapped[datetime] = moment()

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        return (PrimaryKeyConstraint("tenant_id", "id"), *cls.constraints())

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        """Further constraints and indexes of the table."""
        return ()


def tenant_fk(column: str, table: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """A foreign key within the tenant: (tenant_id, column) -> table (tenant_id, id); a plain one is an oracle."""
    if ondelete == "SET NULL":
        ondelete = f"SET NULL ({column})"
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=ondelete)
