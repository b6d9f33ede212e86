"""The dry run task: reads the chosen streams as a run would, page by page within a budget, and writes nothing of them."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app

from app import log
from app.clock import now
from app.db import clock_offset
from app.services import dry_run_pages, dry_runs, page_writes, pages, tasks
from app.services.dry_run_pages import Sight
from app.services.dry_run_state import State, StreamState
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import Decision, decide
from app.tenancy import bind_tenant
from app.transaction import outside, transaction
from connectors.sdk import AuthError, Checkpoint, Connector, ConnectorError, MappingError, Page, ScopeError, Session
from jobs.drain import Slice
from jobs.vendor import vendor_session

# What it remembers is written less often than how far it is: it may be some megabytes.
_KEEP_EVERY = 5.0
# Somebody looks at the page: a vendor that is down is waited for, but not for long.
_LONGEST_WAIT, _TRIES = 60.0, 3
_logger = log.logger(__name__)


@dataclass
class _Work:
    """One slice of one dry run."""

    task: LeasedTask
    slice: Slice
    preview_id: uuid.UUID
    installation_id: uuid.UUID
    began: datetime
    state: State
    offset: timedelta
    connector: Connector
    session: Session
    refreshed: bool = False
    kept_at: float = 0.0


class _SliceOverError(Exception):
    """The slice has used its time; the task goes back."""


class _StoppedError(Exception):
    """A person has stopped the dry run, or started another one."""


def dry_run(task: LeasedTask, slice_: Slice) -> Outcome:
    """Go on with a dry run from where it stands, until all is read, the budget is used, or the slice is over."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        found = dry_runs.open_state(task.tenant_id, task.ref)
        offset = clock_offset()
    if found is None:
        return Done()
    preview, state = found
    with log.bind(installation_id=str(preview.installation_id)):
        try:
            connector, session = vendor_session(task.tenant_id, preview.installation_id, retry=state.tries > 0)
            work = _Work(
                task, slice_, task.ref, preview.installation_id, preview.created_at, state, offset, connector, session,
                kept_at=time.monotonic(),
            )  # fmt: skip
            _read_streams(work)
        except _SliceOverError:
            return Again(now())
        except _StoppedError:
            return Done()
        except ConnectorError as error:
            return _stumble(task, state, preview.created_at, error)
        except MappingError as error:
            return _fail(task, error.problems[0].message, error.problems[0].fix)
    with transaction():
        tasks.fence(task)
        dry_runs.finish(task.tenant_id, task.ref, state)
    return Done()


def _stumble(task: LeasedTask, state: State, began: datetime, error: ConnectorError) -> Outcome:
    assert task.ref is not None
    decision = decide(error, state.tries)
    _logger.warning("dry run stumbled", decision=decision.kind, code=decision.code, error=error.message)
    if now() - began > dry_runs.LONGEST or decision.kind in ("block", "fail") or state.tries >= _TRIES:
        return _fail(task, error.user_message, error.fix)
    state.tries += decision.kind != "wait"
    if decision.kind == "restart":
        for stream in state.streams:
            if stream.state == "reading":
                stream.start_again()
    return _wait(task, state, decision)


def _wait(task: LeasedTask, state: State, decision: Decision) -> Outcome:
    assert task.ref is not None
    due = now() + timedelta(seconds=min(decision.delay, _LONGEST_WAIT))
    waits = {"code": decision.code, "until": due.isoformat()} if decision.delay else None
    with transaction():
        tasks.fence(task)
        dry_runs.save(task.tenant_id, task.ref, state, whole=True, waits=waits)
    return Again(due)


def _fail(task: LeasedTask, message: str, fix: str) -> Outcome:
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        dry_runs.fail(task.tenant_id, task.ref, message, fix)
    return Done()


def _read_streams(work: _Work) -> None:
    for stream in work.state.streams:
        if stream.state in ("done", "failed"):
            continue
        try:
            _read_stream(work, stream)
        except ScopeError as error:
            # As in a run: one stream that may not be read does not stop the others.
            stream.state, stream.error, stream.error_fix = "failed", error.user_message, error.fix
        work.state.memory.close(later=work.state.types_after(stream))
        _save(work, whole=True)


def _read_stream(work: _Work, stream: StreamState) -> None:
    with transaction():
        tasks.fence(work.task)
        manifest = work.connector.manifest
        sight = dry_runs.open_sight(work.task.tenant_id, work.installation_id, stream.stream, manifest)
    work.state.memory.open(sight.context.object_type, sight.context.match_keys)
    keep_every = min(_KEEP_EVERY, current_app.extensions["settings"].lease_seconds / 4)
    while stream.state in ("waiting", "reading"):
        if work.slice.over():
            _save(work, whole=True)
            raise _SliceOverError
        _look_at(work, sight, stream)
        _save(work, whole=time.monotonic() - work.kept_at > keep_every)
    with _reading(work.task.tenant_id):
        dry_run_pages.look_beyond(
            page_writes.connection(), sight, work.state.memory, stream.tally, read_all=stream.ended == "all",
            began=work.began, limit=dry_runs.budget().records,
        )  # fmt: skip
    stream.state = "done"


def _look_at(work: _Work, sight: Sight, stream: StreamState) -> None:
    at = Checkpoint.from_json(stream.checkpoint) if stream.checkpoint else Checkpoint.start("full", None)
    began, started = now() + work.offset, time.monotonic()
    page = _read(work, stream, at)
    stream.seconds += time.monotonic() - started
    prepared = pages.prepare(sight.context, [page], map_all=True, began=began)
    with _reading(work.task.tenant_id):
        dry_run_pages.look_at(page_writes.connection(), sight, prepared, work.state.memory, stream.tally)
    stream.checkpoint, stream.state = page.checkpoint.to_json(), "reading"
    stream.total = page.total if page.total is not None else stream.total
    work.state.tries, work.refreshed = 0, False
    spent = dry_runs.budget().spent_by(
        stream.read, stream.seconds, before=work.state.seconds_before(stream), streams_left=work.state.streams_left(stream)
    )  # fmt: skip
    if page.last or spent:
        stream.state, stream.ended = "read", "all" if page.last else spent or ""


def _read(work: _Work, stream: StreamState, at: Checkpoint) -> Page:
    try:
        with outside():
            return work.connector.read(work.session, stream.stream, at)
    except AuthError:
        # As in a run: the token may have been taken back early.
        if work.refreshed or not work.connector.manifest.auth_for(work.session.settings).has_token:
            raise
        work.refreshed = True
        _, work.session = vendor_session(work.task.tenant_id, work.installation_id, refresh=True)
        return _read(work, stream, at)


@contextmanager
def _reading(tenant_id: uuid.UUID) -> Iterator[None]:
    """A transaction in which PostgreSQL refuses every write."""
    with bind_tenant(tenant_id, read_only=True), transaction():
        yield


def _save(work: _Work, *, whole: bool) -> None:
    with transaction():
        tasks.fence(work.task)
        if not dry_runs.save(work.task.tenant_id, work.preview_id, work.state, whole=whole):
            raise _StoppedError
    if whole:
        work.kept_at = time.monotonic()
