"""Runs, their streams and checkpoints, failed records, conflicts, problems and the HTTP exchanges of a run."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.models.base import Json, TenantModel, Timestamp, db, moment, tenant_fk

LIVE = "state in ('queued', 'running')"
# Literal where it is asked, as the index has it: the plan that PostgreSQL keeps for bound values reads all runs.
UNFINISHED = "state in ('queued', 'running', 'asking')"


class Run(TenantModel):
    """One sync. `state`: queued, running, done, failed, stopped, asking (needs_confirmation before deleting)."""

    __tablename__ = "runs"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    listing_version_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    trigger: Mapped[str] = mapped_column(Text)
    mode: Mapped[str] = mapped_column(Text, default="incremental", server_default="incremental")
    state: Mapped[str] = mapped_column(Text, default="queued", server_default="queued")
    stop_requested: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    # Why it waits, while it does: rate_limited, vendor_down; and until when.
    waiting_code: Mapped[str | None] = mapped_column(Text)
    waiting_until: Mapped[datetime | None] = mapped_column(Timestamp)
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_fix: Mapped[str | None] = mapped_column(Text)
    error_detail: Mapped[str | None] = mapped_column(Text)
    # What it asks a person while it is `asking`: {kind: deletes | promise, ...}; and which kinds were answered with yes.
    question: Mapped[dict[str, Any] | None] = mapped_column(Json)
    confirmed: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    promise_confirmed: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    # Who had it undone, since when, and how far that is: services/undos.py has its form.
    undone_at: Mapped[datetime | None] = mapped_column(Timestamp)
    undone_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    undo: Mapped[dict[str, Any] | None] = mapped_column(Json)
    sampled: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    started_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            Index("ix_runs_installation", "tenant_id", "installation_id", "id"),
            Index("ix_runs_created", "tenant_id", "created_at"),
            Index("ix_runs_unfinished", "tenant_id", "installation_id", postgresql_where=text(UNFINISHED)),
            # Never two live runs of one installation.
            Index("uq_runs_live", "tenant_id", "installation_id", unique=True, postgresql_where=text(LIVE)),
            CheckConstraint("state in ('queued', 'running', 'done', 'failed', 'stopped', 'asking')", name="state"),
            CheckConstraint(
                "trigger in ('first', 'schedule', 'manual', 'resync', 'retry', 'webhook', 'silence')", name="trigger"
            ),
            CheckConstraint("mode in ('full', 'incremental')", name="mode"),
        )


class RunStream(TenantModel):
    """One stream within a run: its counters and the checkpoint, written in the transaction of each page."""

    __tablename__ = "run_streams"

    run_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(Integer)
    mode: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    pass_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    mapping_version: Mapped[int] = mapped_column(Integer)
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(Json)
    pages: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    total: Mapped[int | None] = mapped_column(Integer)
    read: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    created: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    updated: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    linked: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    deleted: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    filtered: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    failed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    conflicts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # Records that the other side has to hear of.
    outgoing: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    pending_deletes: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    # Why this stream alone has failed; the others of the run went on.
    error_code: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_fix: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(Timestamp)
    finished_at: Mapped[datetime | None] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = moment()

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("run_id", "runs"),
            UniqueConstraint("tenant_id", "run_id", "stream"),
            CheckConstraint("state in ('waiting', 'reading', 'done', 'failed', 'stopped', 'asking')", name="state"),
        )


class PassPage(db.Model):  # type: ignore[name-defined,misc]  # as in base.py
    """The external ids one page of a full pass has shown; kept until the pass ends, to find what is gone."""

    __tablename__ = "pass_pages"
    __table_args__ = (
        PrimaryKeyConstraint("tenant_id", "run_stream_id", "page"),
        tenant_fk("run_stream_id", "run_streams"),
    )

    tenant_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    run_stream_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    page: Mapped[int] = mapped_column(Integer)
    external_ids: Mapped[list[str]] = mapped_column(ARRAY(Text))


class FailedRecord(TenantModel):
    """A record that could not be written. `state`: waiting (retried alone), parked, ignored, resolved.

    `direction` out: the other side refused what we sent of `record_id`; its external id is `record:<id>` while it has
    none there. `override` are values a person gave instead of those that do not fit.
    """

    __tablename__ = "failed_records"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text)
    direction: Mapped[str] = mapped_column(Text, default="in", server_default="in")
    record_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    override: Mapped[dict[str, Any] | None] = mapped_column(Json)
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    state: Mapped[str] = mapped_column(Text, default="waiting", server_default="waiting")
    code: Mapped[str] = mapped_column(Text)
    field: Mapped[str | None] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text, default="", server_default="")
    # The normalised value that it is matched by, good or bad: people look for a record by its e-mail address.
    match_value: Mapped[str | None] = mapped_column(Text)
    payload_sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    payload_until: Mapped[datetime | None] = mapped_column(Timestamp)
    tries: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    retry_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_failed_at: Mapped[datetime] = moment()
    resolved_at: Mapped[datetime | None] = mapped_column(Timestamp)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            UniqueConstraint(
                "tenant_id", "installation_id", "stream", "external_id", "direction", name="uq_failed_records_place"
            ),
            CheckConstraint("direction in ('in', 'out')", name="direction"),
            CheckConstraint("state in ('waiting', 'parked', 'ignored', 'resolved')", name="state"),
            Index("ix_failed_records_open", "tenant_id", "installation_id", "state", "id"),
            # Enough to count causes from the index alone.
            Index(
                "ix_failed_records_cause",
                "tenant_id",
                "installation_id",
                "direction",
                "stream",
                "code",
                "id",
                postgresql_include=["field", "created_at", "last_failed_at", "retry_at"],
                postgresql_where=text("state in ('waiting', 'parked')"),
            ),
            Index(
                "ix_failed_records_match",
                "tenant_id",
                "match_value",
                postgresql_where=text("match_value is not null"),
            ),
            Index("ix_failed_records_record", "tenant_id", "record_id", postgresql_where=text("record_id is not null")),
        )


class Conflict(TenantModel):
    """Two values of which one must give way, or a record that fits several. Kept when policy decided it, too.

    `kind`: match (more than one record has the external record's match key: `candidates`), fields (both sides changed
    the same fields: `base`, `ours`, `theirs` of those), deleted_there and deleted_here (one side deleted what the other
    has edited).

    `resolution`: what a person chose (theirs, ours, edited, mixed: field by field in `choices`; of deletes also kept,
    on our side alone; of a match linked or created), policy (`policy` says which), agreed (the sides came to agree by
    themselves), gone (there is nothing left to decide about).
    """

    __tablename__ = "conflicts"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    stream: Mapped[str] = mapped_column(Text)
    external_id: Mapped[str] = mapped_column(Text)
    record_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="open", server_default="open")
    key: Mapped[str | None] = mapped_column(Text)
    candidates: Mapped[list[str]] = mapped_column(Json, default=list, server_default="[]")
    base: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    ours: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    theirs: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    policy: Mapped[str | None] = mapped_column(Text)
    resolution: Mapped[str | None] = mapped_column(Text)
    # What a person wrote instead of either value.
    edited: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    # Field -> theirs, ours, base (what was last agreed on) or edited; of a policy's decision, too.
    choices: Mapped[dict[str, str]] = mapped_column(Json, default=dict, server_default="{}")
    # The decision goes on to similar ones: {same: only where theirs is the same}; and those say which one they follow.
    similar: Mapped[dict[str, Any] | None] = mapped_column(Json)
    decided_with: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    # When the record was changed there, as the other side says, and when that was read.
    theirs_at: Mapped[datetime | None] = mapped_column(Timestamp)
    read_at: Mapped[datetime] = moment()
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    settled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    settled_by: Mapped[uuid.UUID | None] = mapped_column(Uuid)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            Index(
                "uq_conflicts_open", "tenant_id", "installation_id", "stream", "external_id",
                unique=True, postgresql_where=text("state = 'open'"),
            ),
            Index("ix_conflicts_record", "tenant_id", "record_id"),
            Index("ix_conflicts_installation", "tenant_id", "installation_id", "state", "id"),
            Index("ix_conflicts_open", "tenant_id", "id", postgresql_where=text("state = 'open'")),
            Index("ix_conflicts_policy", "tenant_id", "id", postgresql_where=text("resolution = 'policy'")),
            Index(
                "ix_conflicts_settled", "tenant_id", "id",
                postgresql_where=text("state = 'settled' and resolution <> 'policy'"),
            ),
            Index(
                "ix_conflicts_decided_with", "tenant_id", "decided_with",
                postgresql_where=text("decided_with is not null"),
            ),
            CheckConstraint("state in ('open', 'settled')", name="state"),
            CheckConstraint("kind in ('match', 'fields', 'deleted_there', 'deleted_here')", name="kind"),
            CheckConstraint(
                "resolution in ('theirs', 'ours', 'edited', 'mixed', 'kept', 'linked', 'created', 'policy', 'agreed', "
                "'gone')",
                name="resolution",
            ),
        )  # fmt: skip


class Problem(TenantModel):
    """A thing someone must act on; equal errors are one problem with a count."""

    __tablename__ = "problems"

    installation_id: Mapped[uuid.UUID] = mapped_column(Uuid)
    signature: Mapped[str] = mapped_column(Text)
    code: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="open", server_default="open")
    stops_sync: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    message: Mapped[str] = mapped_column(Text)
    fix: Mapped[str] = mapped_column(Text, default="", server_default="")
    detail: Mapped[str] = mapped_column(Text, default="", server_default="")
    count: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    last_seen_at: Mapped[datetime] = moment()
    closed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    # The call that has proved the repair, or how its cause has gone, for people to read.
    closed_by: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            tenant_fk("installation_id", "installations"),
            Index(
                "uq_problems_open", "tenant_id", "installation_id", "signature",
                unique=True, postgresql_where=text("state = 'open'"),
            ),
            Index("ix_problems_installation", "tenant_id", "installation_id", "created_at"),
            Index(
                "ix_problems_closed", "tenant_id", "installation_id", "closed_at", "id",
                postgresql_where=text("state = 'closed'"),
            ),
            CheckConstraint("state in ('open', 'closed')", name="state"),
        )  # fmt: skip


class HttpExchange(TenantModel):
    """One redacted HTTP exchange of a failed or sampled run, for support."""

    __tablename__ = "exchanges"

    installation_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    run_id: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    method: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    status: Mapped[int | None] = mapped_column(Integer)
    ms: Mapped[int] = mapped_column(Integer)
    request: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    response: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    error: Mapped[str | None] = mapped_column(Text)

    @classmethod
    def constraints(cls) -> tuple[Any, ...]:
        return (
            Index("ix_exchanges_run", "tenant_id", "run_id", "id"),
            Index("ix_exchanges_created", "tenant_id", "created_at"),
        )
