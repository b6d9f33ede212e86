"""Writes to the other side: what is to be sent, what was sent, and what became of it."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, CheckConstraint, Index, Integer, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, moment, tenant_fk

# Literal in the index: at most one of these for each installation, stream and record.
LIVE = "state in ('planned', 'sent', 'in_doubt')"


class Intent(TenantModel):
    """One write of a record to the other side, kept before the request is made (reliability 3.5).

    `state`: planned (what to write is decided when it is sent) -> sent (committed before the request) -> confirmed,
    rejected (the other side said no), in_doubt (no answer came), parked (a person must look), dropped (nothing to do).
    Its id is our reference and idempotency key at the other side. `fields` with `sent_hash` and `answer_hash` are the
    echo ledger: what comes back with either is our own write.
    """

    __tablename__ = "intents"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    record_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    external_id: Mapped[str | None] = mapped_column(Text)
    operation: Mapped[str] = mapped_column(Text, default="decide", server_default="decide")
    state: Mapped[str] = mapped_column(Text, default="planned", server_default="planned")
    # The record has changed again since this was sent: another one follows it.
    again: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    # The newest change of its record that this carries, as the journal has it: what the installation has handled.
    handled_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    # How many changes were told while it waited: they are one write. `told_since`: how many while it was being sent.
    told: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    told_since: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # What was told had been carried already by the write before.
    repeated: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    # Who made the change that this carries over.
    cause: Mapped[str] = mapped_column(Text, default="", server_default="")
    fields: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    # Values of the host's fields and what was made of them by path: kept until it is settled, to send the same again.
    values: Mapped[dict[str, Any] | None] = mapped_column(Json)
    payload: Mapped[dict[str, Any] | None] = mapped_column(Json)
    version: Mapped[str | None] = mapped_column(Text)
    mapping_version: Mapped[int | None] = mapped_column(Integer)
    sent_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    answer_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    echoed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    near_misses: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    due_at: Mapped[datetime] = moment()
    sent_at: Mapped[datetime | None] = mapped_column(Timestamp)
    settled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            Index(
                "uq_intents_live", "tenant_id", "installation_id", "stream", "record_id",
                unique=True, postgresql_where=text(LIVE),
            ),
            Index("ix_intents_due", "tenant_id", "installation_id", "due_at", postgresql_where=text(LIVE)),
            Index("ix_intents_ledger", "tenant_id", "installation_id", "stream", "external_id", "sent_at"),
            Index("ix_intents_record", "tenant_id", "record_id", "id"),
            Index(
                "ix_intents_parked", "tenant_id", "installation_id", "stream",
                postgresql_where=text("state = 'parked'"),
            ),
            Index(
                "ix_intents_settled", "tenant_id", "installation_id", "settled_at",
                postgresql_include=["state", "stream", "operation"],
                postgresql_where=text("settled_at is not null"),
            ),
            Index(
                "ix_intents_told", "tenant_id", "installation_id", "settled_at",
                postgresql_include=["told", "repeated"], postgresql_where=text("told > 1 or repeated"),
            ),
            CheckConstraint("operation in ('decide', 'create', 'update', 'delete')", name="operation"),
            CheckConstraint(
                "state in ('planned', 'sent', 'in_doubt', 'confirmed', 'rejected', 'parked', 'dropped')", name="state"
            ),
        )  # fmt: skip
