"""Runs: start, watch, stop, and answer what one asks."""

import uuid
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun
from app.api.paging import Page, PageQuery, cut, unpack
from app.services import installations, run_reports, runs
from app.services.run_reports import RunRow

noun = Noun("runs", "Runs", "Syncs of an installation, with what they did.")


class Run(BaseModel):
    """One sync."""

    id: uuid.UUID
    installation_id: uuid.UUID
    state: Literal["queued", "running", "done", "failed", "stopped", "asking"]
    trigger: str
    mode: Literal["full", "incremental"]
    started_at: datetime | None
    finished_at: datetime | None
    waiting: str | None = Field(description="Why it waits, while it does.")
    waiting_until: datetime | None
    question: dict[str, Any] | None = Field(description="What it asks before it goes on, while it is `asking`.")
    error_code: str | None
    error: str | None
    fix: str | None
    counts: dict[str, int]
    created_at: datetime


class Runs(Page[Run]):
    """Runs, newest first."""


class NewRun(BaseModel):
    """How to run."""

    model_config = ConfigDict(extra="forbid")

    full: bool = Field(False, description="Read everything again, not only what has changed.")


class RunAnswer(BaseModel):
    """The answer to what a run asks."""

    model_config = ConfigDict(extra="forbid")

    go_on: bool


def _shown(row: RunRow) -> Run:
    run = row.run
    return Run(
        id=run.id, installation_id=run.installation_id, state=run.state, trigger=run.trigger, mode=run.mode,  # type: ignore[arg-type]  # as the table's checks have it
        started_at=run.started_at, finished_at=run.finished_at, waiting=run.waiting_code,
        waiting_until=run.waiting_until, question=run.question, error_code=run.error_code, error=run.error_message,
        fix=run.error_fix, counts=row.sums, created_at=run.created_at,
    )  # fmt: skip


def _found(run_id: uuid.UUID) -> Run:
    return _shown(run_reports.get_row(gate.caller().tenant_id, run_id))


@noun.get("/installations/<uuid:installation_id>/runs", scope="list", query=PageQuery, answer=Runs)
def list_runs(installation_id: uuid.UUID, query: PageQuery) -> Runs:
    """List the runs of an installation, newest first"""
    tenant_id = gate.caller().tenant_id
    runs.get_installation(tenant_id, installation_id)
    place = unpack(query.cursor, uuid.UUID)
    found = run_reports.list_runs(tenant_id, installation_id, before=place[0] if place else None, limit=query.limit + 1)
    rows, onward = cut(found, query.limit, lambda row: (str(row.run.id),))
    return Runs(data=[_shown(row) for row in rows], next=onward)


@noun.post("/installations/<uuid:installation_id>/runs", scope="write", body=NewRun, answer=Run, status=202)
def start_run(installation_id: uuid.UUID, body: NewRun) -> Run:
    """Start a run; a live one is given instead"""
    who = gate.caller()
    trigger, mode = ("resync", "full") if body.full else ("manual", "incremental")
    made = runs.start_run(who.tenant_id, installation_id, trigger=trigger, mode=mode, user_id=who.key_id)
    return _found(made.id)


@noun.get("/runs/<uuid:run_id>", scope="read", answer=Run)
def show_run(run_id: uuid.UUID) -> Run:
    """Show a run"""
    return _found(run_id)


@noun.post("/runs/<uuid:run_id>/stop", scope="write", answer=Run, status=202)
def stop_run(run_id: uuid.UUID) -> Run:
    """Stop a run before its next page; one that has ended stays as it is"""
    who = gate.caller()
    runs.get_run(who.tenant_id, run_id)
    runs.stop_run(who.tenant_id, run_id)
    return _found(run_id)


@noun.post("/runs/<uuid:run_id>/answer", scope="admin", body=RunAnswer, answer=Run)
def answer_run(run_id: uuid.UUID, body: RunAnswer) -> Run:
    """Answer what a run asks before it deletes much or leaves what was foreseen"""
    who = gate.caller()
    runs.get_run(who.tenant_id, run_id)
    if body.go_on:
        runs.confirm(who.tenant_id, run_id, who.key_id)
    else:
        installations.decline_run(who.tenant_id, run_id)
    return _found(run_id)
