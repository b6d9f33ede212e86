"""Runs: start, stop, confirm, and the bookkeeping while one works. The row is the truth; a task wakes the worker."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.clock import now
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import new_id
from app.models.installations import Installation, InstallationStream, Schedule
from app.models.runs import LIVE, UNFINISHED, HttpExchange, Run, RunStream
from app.services import audit, drift, failed_records, intents, listings, problems, promises, tasks, vendor_hosts
from app.sync.outcome import StreamEnd, end_of
from app.sync.retry import PAUSE_AFTER, WARN_AFTER, Decision
from app.tenancy import scoped
from connectors.sdk import ConnectorError, Exchange, ScopeError

LIVE_STATES = ("queued", "running")
# A stream whose last complete pass is older than this is read in full again, which is how silent deletes are found.
FULL_PASS_EVERY = timedelta(days=7)


def queue_sync(tenant_id: uuid.UUID, installation_id: uuid.UUID, *, due_at: datetime | None = None) -> None:
    """Make sure a worker looks at the installation; a second request while one runs makes it look again."""
    host = vendor_hosts.host_of(tenant_id, installation_id)
    tasks.add_task(tenant_id, "sync", "sync", str(installation_id), ref=installation_id, due_at=due_at, host=host)


def queue_read(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, external_id: str) -> None:
    """Have one external record read and applied by itself."""
    host, key = vendor_hosts.host_of(tenant_id, installation_id), read_key(installation_id, stream, external_id)
    tasks.add_task(tenant_id, "sync", "read_record", key, ref=installation_id, host=host)


def read_key(installation_id: uuid.UUID, stream: str, external_id: str) -> str:
    """Return the key of the task that reads one external record by itself."""
    return f"{installation_id}:{stream}:{external_id}"


def start_run(
    tenant_id: uuid.UUID,
    installation_id: uuid.UUID,
    *,
    trigger: str,
    mode: str = "incremental",
    user_id: uuid.UUID | None = None,
) -> Run:
    """Start a run, or return the live one: a page sent twice starts one run. ConflictError when it cannot run."""
    installation = get_installation(tenant_id, installation_id)
    if installation.state != "active" and trigger != "first":
        raise ConflictError("This installation is not active. Resume it first.", code="not_active")
    row = {
        "tenant_id": tenant_id, "id": new_id(), "installation_id": installation_id, "trigger": trigger, "mode": mode,
        "listing_version_id": installation.listing_version_id, "started_by": user_id, "created_at": now(),
    }  # fmt: skip
    db.session.execute(insert(Run).values(row).on_conflict_do_nothing())
    queue_sync(tenant_id, installation_id)
    run = live_run(tenant_id, installation_id)
    if run is None:
        raise ConflictError("The run ended while this page was sent. Load the page again.")
    return run


def get_installation(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Installation:
    """Return the installation or raise NotFoundError."""
    found = db.session.scalar(scoped(Installation, tenant_id).where(Installation.id == installation_id))
    if found is None:
        raise NotFoundError("There is no such installation.")
    return found


def get_run(tenant_id: uuid.UUID, run_id: uuid.UUID) -> Run:
    """Return the run or raise NotFoundError."""
    found = db.session.scalar(scoped(Run, tenant_id).where(Run.id == run_id))
    if found is None:
        raise NotFoundError("There is no such run.")
    return found


def live_run(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Run | None:
    """Return the queued or running run of an installation."""
    query = scoped(Run, tenant_id).where(Run.installation_id == installation_id, text(f"runs.{LIVE}"))
    return db.session.scalar(query)


def unfinished_runs(tenant_id: uuid.UUID, installation_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Run]:
    """Return installation -> its run that is queued, running or asking."""
    query = scoped(Run, tenant_id).where(Run.installation_id.in_(installation_ids), text(f"runs.{UNFINISHED}"))
    return {run.installation_id: run for run in db.session.scalars(query)}


def stop_run(tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Somebody has a live run stopped before its next page; one that has ended is left as it is."""
    if request_stop(tenant_id, run_id):
        _tell(tenant_id, "run.stopped", get_run(tenant_id, run_id))


def request_stop(tenant_id: uuid.UUID, run_id: uuid.UUID) -> bool:
    """Ask a live run to stop before its next page, as a part of something else; return whether it was live."""
    live = db.session.scalar(
        update(Run)
        .where(Run.tenant_id == tenant_id, Run.id == run_id, Run.state.in_(LIVE_STATES))
        .values(stop_requested=True, waiting_until=None)
        .returning(Run.id)
    )
    queue_sync(tenant_id, get_run(tenant_id, run_id).installation_id)
    return live is not None


def _tell(tenant_id: uuid.UUID, action: str, run: Run) -> None:
    audit.write(tenant_id, action, "run", str(run.id), installation_id=run.installation_id)


def confirm(tenant_id: uuid.UUID, run_id: uuid.UUID, user_id: uuid.UUID) -> None:
    """Let a run that asked a question go on from where it stopped: the answer is yes."""
    asking = db.session.scalar(scoped(Run, tenant_id).where(Run.id == run_id, Run.state == "asking").with_for_update())
    if asking is None:
        raise ConflictError("This run no longer waits for an answer.")
    asking.state, asking.started_by, asking.finished_at = "running", user_id, None
    if (asking.question or {}).get("kind") == "promise":
        asking.promise_confirmed = True
    else:
        asking.confirmed = True
    asking.question = None
    streams = update(RunStream).where(RunStream.tenant_id == tenant_id, RunStream.run_id == run_id)
    db.session.execute(streams.where(RunStream.state == "asking").values(state="reading"))
    _close_question(tenant_id, asking.installation_id)
    queue_sync(tenant_id, asking.installation_id)
    _tell(tenant_id, "run.confirmed", asking)


def decline(tenant_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """End a run that asked a question: the answer is no, and nothing of what it asked about is done."""
    asking = db.session.scalar(scoped(Run, tenant_id).where(Run.id == run_id, Run.state == "asking").with_for_update())
    if asking is None:
        raise ConflictError("This run no longer waits for an answer.")
    _end(tenant_id, asking, "stopped")
    _close_question(tenant_id, asking.installation_id)
    _tell(tenant_id, "run.declined", asking)


def begin(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Run | None:
    """Return the live run for a worker, made now when the schedule asks for one; None when there is nothing to do."""
    installation = get_installation(tenant_id, installation_id)
    run = live_run(tenant_id, installation_id)
    if run is None:
        if installation.state != "active" or installation.blocked_code or _asking(tenant_id, installation_id):
            return None
        run = Run(
            tenant_id=tenant_id,
            id=new_id(),
            installation_id=installation_id,
            trigger="schedule",
            listing_version_id=installation.listing_version_id,
        )
        db.session.add(run)
        vendor_hosts.keep_on_schedule(tenant_id, installation_id)
    if run.state == "queued" or run.started_at is None:
        run.state, run.started_at = "running", now()
        db.session.flush()  # The streams below refer to the run.
        _add_streams(tenant_id, run)
    run.waiting_code, run.waiting_until = None, None
    return run


def _asking(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> bool:
    query = select(Run.id).where(Run.tenant_id == tenant_id, Run.installation_id == installation_id)
    return db.session.scalar(query.where(text(f"runs.{UNFINISHED}"), Run.state == "asking").limit(1)) is not None


def _add_streams(tenant_id: uuid.UUID, run: Run) -> None:
    streams = db.session.scalars(
        scoped(InstallationStream, tenant_id)
        .where(InstallationStream.installation_id == run.installation_id, InstallationStream.enabled)
        .order_by(InstallationStream.created_at, InstallationStream.stream)
    ).all()
    for position, stream in enumerate(streams):
        stale = stream.last_complete_at is None or now() - stream.last_complete_at > FULL_PASS_EVERY
        full = run.mode == "full" or stream.full_pass_due or stream.since is None or stale
        db.session.add(
            RunStream(
                tenant_id=tenant_id,
                run_id=run.id,
                stream=stream.stream,
                position=position,
                mode="full" if full else "incremental",
                pass_id=new_id(),
                mapping_version=stream.mapping_version,
            )
        )
    if any(stream.full_pass_due for stream in streams):
        run.mode = "full"


def finish(tenant_id: uuid.UUID, run: Run) -> None:
    """End a run whose streams are over; the calls that worked close what had stopped the sync.

    A stream that may not be read is a problem of its own. When none could be read the run has failed.
    """
    ends = _stream_ends(tenant_id, run.id)
    end = end_of(ends)
    if end.kind == "failed":
        first = end.failed[0]
        error = ScopeError(f"No stream may be read: {', '.join(s.stream for s in end.failed)}.",
                           user_message=first.message, fix=first.fix, code=first.code or "")  # fmt: skip
        problems.close_streams(tenant_id, run.installation_id, [stream.stream for stream in end.failed], by="moved")
        fail(tenant_id, run, Decision("block", error.code), error)
        return
    run.state, run.finished_at = "done", now()
    installation = get_installation(tenant_id, run.installation_id)
    installation.failures_in_row, installation.last_success_at = 0, now()
    for stream in end.failed:
        problems.open_problem(
            tenant_id, run.installation_id, stream.code or "", f"{stream.stream.capitalize()}: {stream.message}",
            stream.fix, signature=problems.stream_signature(stream.stream), run_id=run.id,
        )  # fmt: skip
    still = [problems.stream_signature(stream.stream) for stream in end.failed]
    if ends:
        # A run without a stream has made no call, and proves nothing.
        installation.blocked_code = None
        problems.close_run_problems(tenant_id, run.installation_id, but=still)
    intents.wake_waiting(tenant_id, run.installation_id)
    drift.plan_check(tenant_id, run.installation_id)
    failed_records.sum_up(tenant_id, run.installation_id, run.id)


def _stream_ends(tenant_id: uuid.UUID, run_id: uuid.UUID) -> list[StreamEnd]:
    query = scoped(RunStream, tenant_id).where(RunStream.run_id == run_id).order_by(RunStream.position)
    return [
        StreamEnd(row.stream, row.error_code, row.error_message or "", row.error_fix or "")
        for row in db.session.scalars(query)
    ]


def fail_stream(tenant_id: uuid.UUID, run_id: uuid.UUID, stream: str, error: ConnectorError) -> None:
    """End one stream of a run with its error; the others go on."""
    row = update(RunStream).where(RunStream.tenant_id == tenant_id, RunStream.run_id == run_id)
    db.session.execute(
        row.where(RunStream.stream == stream).values(
            state="failed", finished_at=now(), error_code=error.code, error_message=error.user_message,
            error_fix=error.fix,
        )
    )  # fmt: skip


def end_stopped(tenant_id: uuid.UUID, run: Run) -> None:
    """End a run that a person has stopped."""
    _end(tenant_id, run, "stopped")
    failed_records.sum_up(tenant_id, run.installation_id, run.id)


def _end(tenant_id: uuid.UUID, run: Run, state: str) -> None:
    run.state, run.finished_at, run.waiting_code, run.waiting_until = state, now(), None, None
    promises.carry_over(tenant_id, run)
    unfinished = update(RunStream).where(RunStream.tenant_id == tenant_id, RunStream.run_id == run.id)
    db.session.execute(unfinished.where(RunStream.state.in_(("waiting", "reading"))).values(state=state))


def postpone(run: Run, decision: Decision) -> None:
    """Let the run wait: the page shows why and until when. Only `again` counts as a try."""
    run.waiting_code = decision.code
    run.waiting_until = now() + timedelta(seconds=decision.delay)
    run.tries += decision.kind == "again"


def fail(tenant_id: uuid.UUID, run: Run, decision: Decision, error: ConnectorError) -> None:
    """End the run with an error and open its problem; block when a person must act, pause after many in a row."""
    _end(tenant_id, run, "failed")
    run.error_code, run.error_message = decision.code, error.user_message
    run.error_fix, run.error_detail = error.fix, error.message[:1000]
    installation = get_installation(tenant_id, run.installation_id)
    installation.failures_in_row += 1
    failed_records.sum_up(tenant_id, run.installation_id, run.id)
    if decision.kind == "block":
        block(tenant_id, run.installation_id, decision, error, run_id=run.id)
        return
    problems.open_problem(
        tenant_id,
        run.installation_id,
        decision.code,
        error.user_message,
        error.fix,
        detail=error.message,
        run_id=run.id,
    )
    if installation.failures_in_row >= PAUSE_AFTER:
        _pause(installation, run, error)
    elif installation.failures_in_row >= WARN_AFTER:
        left = PAUSE_AFTER - installation.failures_in_row
        problems.open_problem(
            tenant_id, run.installation_id, "pause_ahead",
            f"{installation.failures_in_row} runs in a row have failed. After {left} more the sync pauses by itself.",
            "Solve the other problem of this installation; the count starts anew with the next run that is done.",
            run_id=run.id,
        )  # fmt: skip


def _pause(installation: Installation, run: Run, error: ConnectorError) -> None:
    """Stop trying: `installations.resume` begins again. The schedule rests, so that no worker is woken for nothing."""
    tenant_id, message = installation.tenant_id, f"Paused by itself after {PAUSE_AFTER} failed runs in a row."
    installation.state, installation.paused_reason = "paused", message
    mine = (Schedule.tenant_id == tenant_id, Schedule.installation_id == installation.id)
    db.session.execute(update(Schedule).where(*mine).values(active=False, next_due_at=None, promised_at=None))
    problems.close(tenant_id, installation.id, "pause_ahead", by="moved")
    problems.open_problem(
        tenant_id, installation.id, "paused_by_itself", f"{message} The last one: {error.user_message}",
        "Solve the other problem of this installation, then resume it. What has changed meanwhile is read after that.",
        run_id=run.id, stops_sync=True,
    )  # fmt: skip


def block(
    tenant_id: uuid.UUID, installation_id: uuid.UUID, decision: Decision, error: ConnectorError,
    *, run_id: uuid.UUID | None = None,
) -> None:  # fmt: skip
    """Stop an installation until a person acts: its problem says what to do."""
    get_installation(tenant_id, installation_id).blocked_code = decision.code
    problems.open_problem(
        tenant_id, installation_id, decision.code, error.user_message, error.fix, detail=error.message, run_id=run_id,
        stops_sync=True,
    )  # fmt: skip


def ask(tenant_id: uuid.UUID, run: Run, question: dict[str, Any]) -> None:
    """Stop before something large: `question` has its kind and the numbers, and a person must say yes or no."""
    run.state, run.finished_at, run.question = "asking", now(), question
    vendor = listings.manifest_of(run.listing_version_id).listing.name
    code, message, fix = _QUESTIONS[question["kind"]](question, vendor)
    problems.open_problem(tenant_id, run.installation_id, code, message, fix, run_id=run.id, stops_sync=True)
    problems.sum_up_records(tenant_id, run.installation_id, run.id)


def _about_deletes(question: dict[str, Any], vendor: str) -> tuple[str, str, str]:
    return (
        "deletes_ask",
        f"This run would delete {question['candidates']:,} of {question['live']:,} records. Nothing has been deleted.",
        f"Look whether they are really gone in {vendor}, then confirm the deletes or keep the records.",
    )


_QUESTIONS = {"deletes": _about_deletes, "promise": promises.put_question}


def _close_question(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Somebody has answered: nothing is asked any more, unless another run still does."""
    db.session.flush()
    if not _asking(tenant_id, installation_id):
        for code in ("deletes_ask", "promise_ask"):
            problems.close(tenant_id, installation_id, code, by="decided")


def keep_exchanges(tenant_id: uuid.UUID, run: Run, exchanges: list[Exchange]) -> None:
    """Keep redacted HTTP exchanges for support."""
    for exchange in exchanges:
        db.session.add(
            HttpExchange(
                tenant_id=tenant_id,
                installation_id=run.installation_id,
                run_id=run.id,
                method=exchange.method,
                url=exchange.url,
                status=exchange.status,
                ms=round(exchange.ms),
                request={"headers": dict(exchange.request_headers), "body": exchange.request_body},
                response={"headers": dict(exchange.response_headers), "body": exchange.response_body},
                error=exchange.error,
            )
        )
