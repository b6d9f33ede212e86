"""The sync task: pages of one installation, one transaction each, until all streams are read or the slice is over."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from app import log
from app.clock import now
from app.db import clock_offset, held_connection
from app.services import page_writes, pages, passes, problems, runs, tasks
from app.services.page_context import Counts, PageContext, QuestionError
from app.services.pages import Prepared
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import Decision, decide
from app.transaction import outside, transaction
from connectors.sdk import AuthError, Checkpoint, Connector, ConnectorError, Exchange, Page, ScopeError, Session
from jobs.drain import Slice
from jobs.vendor import vendor_session

_KEPT_EXCHANGES = 10
# Each transaction has its price: pages that come faster than they can be written are applied together, up to so many
# records, and so are those of a vendor that answers within this many seconds.
_AT_ONCE = 0.005
_TOGETHER = 1000
_logger = log.logger(__name__)


@dataclass
class _Work:
    """One slice of one run."""

    task: LeasedTask
    slice: Slice
    installation_id: uuid.UUID
    run_id: uuid.UUID
    exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=_KEPT_EXCHANGES))
    session: Session | None = None
    refreshed: bool = False
    # Whether this slice repeats a call that has failed, and whether a page was applied since.
    retry: bool = False
    progressed: bool = False
    # Whether most records of the last page had changed: then the next page is mapped while it is fetched.
    changing: bool = True
    # Whether the vendor took its time for the last answer, and whether pages that were read are waited for.
    slow: bool = True
    waiting: threading.Event = field(default_factory=threading.Event)
    # PostgreSQL's clock against ours.
    offset: timedelta = timedelta(0)


class _SliceOverError(Exception):
    """The slice has used its time; the task goes back."""


class _StoppedError(Exception):
    """A person has stopped the run."""


def sync(task: LeasedTask, slice_: Slice) -> Outcome:
    """Work on the live run of an installation, or start the one its schedule asks for."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        run = runs.begin(task.tenant_id, task.ref)
        if run is None:
            return Done()
        work = _Work(task, slice_, task.ref, run.id, retry=run.tries > 0, offset=clock_offset())
        stop = run.stop_requested
    with log.bind(run_id=str(work.run_id), installation_id=str(task.ref)):
        try:
            if stop:
                raise _StoppedError
            _read_streams(work)
        except _SliceOverError:
            _forget_tries(work)
            return Again(now())
        except _StoppedError:
            return _settle(work, lambda run: runs.end_stopped(task.tenant_id, run))
        except QuestionError as error:
            question = error.question
            return _settle(work, lambda run: runs.ask(task.tenant_id, run, question))
        except ConnectorError as error:
            return _stumble(work, error)
        return _settle(work, lambda run: runs.finish(task.tenant_id, run))


def give_up(task: LeasedTask, _slice: Slice) -> Outcome:
    """End the live run of an installation whose sync task is dead: each worker that took it was lost, or had a fault."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        run = runs.live_run(task.tenant_id, task.ref)
        if run is not None and not tasks.is_live(task.tenant_id, "sync", str(task.ref)):
            error = ConnectorError(
                "Every try to work on this run has ended without a result.", code="gave_up",
                user_message="This sync was stopped: it failed on our side several times in a row.",
                fix="Run it again. When it stops at the same place, tell support; what was written stays.",
            )  # fmt: skip
            runs.fail(task.tenant_id, run, Decision("fail", "gave_up"), error)
    return Done()


def _settle(work: _Work, end: object) -> Outcome:
    with transaction():
        tasks.fence(work.task)
        run = runs.get_run(work.task.tenant_id, work.run_id)
        end(run)  # type: ignore[operator]  # a callable of one run
        if run.sampled or run.state == "failed":
            runs.keep_exchanges(work.task.tenant_id, run, list(work.exchanges))
        _logger.info("run ended", state=run.state)
    return Done()


def _stumble(work: _Work, error: ConnectorError) -> Outcome:
    tenant_id = work.task.tenant_id
    with transaction():
        tasks.fence(work.task)
        run = runs.get_run(tenant_id, work.run_id)
        # Only failures without a page in between are in a row.
        run.tries = 0 if work.progressed else run.tries
        decision = decide(error, run.tries, age=now() - (run.started_at or now()))
        _logger.warning("run stumbled", decision=decision.kind, code=decision.code, error=error.message)
        runs.keep_exchanges(tenant_id, run, list(work.exchanges))
        if decision.kind in ("wait", "again"):
            runs.postpone(run, decision)
            return Again(now() + timedelta(seconds=decision.delay))
        if decision.kind == "restart":
            for stream in passes.list_streams(tenant_id, work.run_id):
                if stream.state == "reading":
                    passes.restart(stream, work.installation_id)
            return Again(now())
        runs.fail(tenant_id, run, decision, error)
    return Done()


def _forget_tries(work: _Work) -> None:
    if work.retry and work.progressed:
        with transaction():
            tasks.fence(work.task)
            runs.get_run(work.task.tenant_id, work.run_id).tries = 0


def _read_streams(work: _Work) -> None:
    tenant_id = work.task.tenant_id
    connector, work.session = vendor_session(
        tenant_id, work.installation_id, on_exchange=work.exchanges.append, retry=work.retry
    )
    with transaction():
        streams = passes.list_streams(tenant_id, work.run_id)
        names = [stream.stream for stream in streams if stream.state not in ("done", "failed")]
    for name in names:
        try:
            _read_stream(work, connector, name)
        except ScopeError as error:
            _logger.warning("stream forbidden", stream=name, error=error.message)
            with transaction():
                tasks.fence(work.task)
                runs.fail_stream(tenant_id, work.run_id, name, error)
                runs.keep_exchanges(tenant_id, runs.get_run(tenant_id, work.run_id), list(work.exchanges))
            work.exchanges.clear()


def _read_stream(work: _Work, connector: Connector, name: str) -> None:
    tenant_id = work.task.tenant_id
    with transaction():
        tasks.fence(work.task)
        run = runs.get_run(tenant_id, work.run_id)
        stream = next(s for s in passes.list_streams(tenant_id, work.run_id) if s.stream == name)
        installation = runs.get_installation(tenant_id, work.installation_id)
        context = passes.open_context(tenant_id, installation, name, connector.manifest, run=run, run_stream=stream)
        checkpoint = passes.open_checkpoint(tenant_id, work.installation_id, stream)
        read, counted = passes.is_read(stream), passes.counts_of(stream)
    if not read:
        with held_connection():
            for prepared in _pages(work, connector, context, checkpoint):
                _apply(work, context, prepared, counted)
                checkpoint = prepared.end.checkpoint
                if work.slice.over() and not prepared.end.last:
                    raise _SliceOverError
    with transaction():
        tasks.fence(work.task)
        stream = next(s for s in passes.list_streams(tenant_id, work.run_id) if s.stream == name)
        passes.finish_pass(context, stream, connector.next_since(name, checkpoint))
        problems.close_streams(tenant_id, work.installation_id, [name])


def _apply(work: _Work, context: PageContext, prepared: Prepared, counted: Counts) -> None:
    with transaction():
        sql, stop, news = page_writes.open_page(work.task, work.run_id, context, prepared.hashes)
        if stop:
            raise _StoppedError
        counts = pages.apply_pages(sql, context, prepared, news, before=counted)
    counted.add(counts)
    work.changing, work.progressed = counts.unchanged * 2 <= counts.read, True


def _goes_on(work: _Work, found: list[Page]) -> bool:
    """Whether to read one more page before these are applied: while they cost nothing to wait for."""
    if found[-1].last or sum(len(page.records) for page in found) >= _TOGETHER:
        return False
    return not work.slow or not work.waiting.is_set()


def _pages(work: _Work, connector: Connector, context: PageContext, checkpoint: Checkpoint) -> Iterator[Prepared]:
    """Yield pages while the next is already being fetched; the fetching thread holds no database session."""

    met: list[ConnectorError] = []

    def fetch(at: Checkpoint) -> Prepared:
        assert work.session is not None
        if met:
            raise met.pop()
        began, found = now() + work.offset, list[Page]()
        while not found or _goes_on(work, found):
            started = time.perf_counter()
            try:
                page = connector.read(work.session, context.stream, at)
            except ConnectorError as error:
                if not found:
                    raise
                # What was read before is kept, and the call is not repeated: a vendor that asks for a pause gets it.
                met.append(error)
                break
            work.slow = time.perf_counter() - started > _AT_ONCE
            found.append(page)
            at = page.checkpoint
        return pages.prepare(context, found, map_all=work.changing, began=began)

    with outside(), ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        ahead: Future[Prepared] | None = None
        while True:
            try:
                work.waiting.set()
                prepared = ahead.result() if ahead else fetch(checkpoint)
            except AuthError:
                # The token may have been taken back early; one fresh one is tried before a person is asked.
                assert work.session is not None
                if work.refreshed or not connector.manifest.auth_for(work.session.settings).has_token:
                    raise
                work.refreshed, ahead = True, None
                _, work.session = vendor_session(
                    work.task.tenant_id, work.installation_id, on_exchange=work.exchanges.append, refresh=True
                )
                continue
            # A token that works may end again later in a long run.
            work.refreshed = False
            checkpoint = prepared.end.checkpoint
            work.waiting.clear()
            ahead = pool.submit(fetch, checkpoint) if not prepared.end.last else None
            yield prepared
            if prepared.end.last:
                return
