"""The task that sends planned writes of an installation to the other side, a few at a time."""

import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from flask import current_app

from app import log
from app.clock import now
from app.services import (
    failed_records,
    intent_claims,
    intent_failures,
    intent_outcomes,
    intents,
    page_deletes,
    page_writes,
    passes,
    problems,
    runs,
    tasks,
)
from app.services.intent_claims import Sending
from app.services.intent_failures import Refusal
from app.services.intent_outcomes import Answer
from app.services.page_context import Counts, PageContext
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.outbound import Abilities
from app.sync.retry import decide
from app.transaction import transaction
from connectors.sdk import AuthError, Connector, ConnectorError, ScopeError, Session
from jobs.drain import Slice
from jobs.intent_sending import Back, Gone, Met, Sender, StopError
from jobs.intent_sending import Outcome as Sent
from jobs.records import apply_record
from jobs.vendor import vendor_session

# Longer than this no answer waits to be written down.
_SETTLE_AFTER = 3.0
_PAUSE = 30.0
_logger = log.logger(__name__)


@dataclass
class _Work:
    """One slice of sending; `seen` are the streams looked at in it, `stream` is the one that is sent to.

    `met` are the writes that have met a change over there.
    """

    task: LeasedTask
    slice: Slice
    installation_id: uuid.UUID
    connector: Connector
    session: Session
    refreshed: bool = False
    seen: set[str] = field(default_factory=set)
    met: set[uuid.UUID] = field(default_factory=set)
    stream: str = ""


def send_intents(task: LeasedTask, slice_: Slice) -> Outcome:
    """Send what is planned and due; what a lost worker had sent is in doubt and resolved first."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        installation = runs.get_installation(task.tenant_id, task.ref)
        if installation.state != "active" or installation.blocked_code:
            return Done()  # The run that proves the repair wakes this again.
        sql = page_writes.connection()
        intent_claims.find_lost(sql, task.tenant_id, task.ref)
        retry = intent_claims.repeats(sql, task.tenant_id, task.ref)
    work: _Work | None = None
    with log.bind(installation_id=str(task.ref)):
        try:
            connector, session = vendor_session(task.tenant_id, task.ref, retry=retry)
            work = _Work(task, slice_, task.ref, connector, session)
            while not slice_.over():
                if not _send_some(work):
                    break
        except StopError as stop:
            return _stop(task, stop.error, work)
        except ConnectorError as error:
            return _stop(task, error, work)
    with transaction():
        tasks.fence(task)
        failed_records.sum_up(task.tenant_id, task.ref)
        intents.wake_waiting(task.tenant_id, task.ref)
    return Done()


def _stop(task: LeasedTask, error: ConnectorError, work: _Work | None) -> Outcome:
    """The other side, not a record, is the trouble: nothing is lost, and it goes on when that is over."""
    assert task.ref is not None
    decision = decide(error, 0)
    _logger.warning("sending stopped", decision=decision.kind, code=decision.code, error=error.message)
    with transaction():
        tasks.fence(task)
        if isinstance(error, ScopeError):
            stream = work.stream if work else ""
            problems.open_problem(
                task.tenant_id, task.ref, "write_forbidden",
                f"The connected account may not change {stream or 'this data'} at the other side.", error.fix,
                signature=problems.write_signature(stream), detail=f"{error.user_message} {error.message}",
            )  # fmt: skip
        elif decision.kind == "block":
            runs.block(task.tenant_id, task.ref, decision, error)
            return Done()
    return Again(now() + timedelta(seconds=decision.delay or 300.0))


def _send_some(work: _Work) -> bool:
    """Send one batch of one stream; return False when nothing is due."""
    task = work.task
    with transaction():
        tasks.fence(task)
        sql = page_writes.connection()
        stream = intent_claims.next_stream(sql, task.tenant_id, work.installation_id)
        installation = runs.get_installation(task.tenant_id, work.installation_id)
        if stream is None:
            return passes.plan_missing(task.tenant_id, installation, work.connector.manifest)
        work.stream = stream
        context = passes.open_context(task.tenant_id, installation, stream, work.connector.manifest)
        abilities = _abilities(work, context)
        if stream not in work.seen:
            work.seen.add(stream)
            intent_claims.hold_deletes(sql, context)
        sendings = intent_claims.claim(sql, context, abilities, limit=_at_once(work.connector, stream))
    _send_all(work, context, sendings)
    return True


def _at_once(connector: Connector, stream: str) -> int:
    writes = connector.manifest.stream(stream).writes
    if writes and writes.create_safety and writes.create_safety.kind == "review":
        return 1  # Of creates that only a person can resolve, never more than one is in doubt.
    batches = [batch.size for batch in (writes.batch_create, writes.batch_update) if batch] if writes else []
    return max([intent_claims.BATCH, *batches])


def _abilities(work: _Work, context: PageContext) -> Abilities:
    stream = work.connector.manifest.stream(context.stream)
    writes = stream.writes
    operations = {name for name in ("create", "update", "delete") if writes and getattr(writes, name)}
    installed = passes.get_installed(context.tenant_id, context.installation_id, context.stream)
    here = context.out is not None
    return Abilities(
        frozenset(operations) if here else frozenset(), context.directions.outgoing,
        ready=installed.last_complete_at is not None, mirror_deletes=context.delete_policy == "mirror",
    )  # fmt: skip


def _send_all(work: _Work, context: PageContext, sendings: list[Sending]) -> None:
    """Send writes, several in one call where that is possible, and write down what became of each."""
    done: list[tuple[Sending, Sent]] = []
    groups = Sender(work.connector, work.session, context).together(sendings)
    grouped = {item.id for group in groups for item in group}
    rest, since = [*groups, *([item] for item in sendings if item.id not in grouped)], time.monotonic()
    # The lease is renewed with it: a batch that takes longer than the lease would be lost and sent again for ever.
    settle_after = min(_SETTLE_AFTER, current_app.extensions["settings"].lease_seconds / 4)
    try:
        while rest and not work.slice.stopping:
            done += _send(work, context, rest[0])
            rest.pop(0)
            if time.monotonic() - since > settle_after:
                _settle(work, context, done)
                done, since = [], time.monotonic()
    except StopError as stop:
        known = {item.id for item, _ in stop.done}
        done += [*stop.done, *((item, stop.outcome) for item in rest.pop(0) if item.id not in known)]
        raise
    except BaseException:
        # Whether these were made nobody knows: they stay sent, and are found in doubt.
        rest.pop(0)
        raise
    finally:
        # What was never sent is not in doubt.
        done += [(item, Back("in_doubt" if item.doubt else "planned")) for group in rest for item in group]
        _settle(work, context, done)


def _send(work: _Work, context: PageContext, items: list[Sending]) -> list[tuple[Sending, Sent]]:
    try:
        return _send_once(work, context, items)
    except StopError as stop:
        has_token = work.connector.manifest.auth_for(work.session.settings).has_token
        if not isinstance(stop.error, AuthError) or work.refreshed or stop.done or not has_token:
            raise
    # The token may have been taken back early; one fresh one is tried before a person is asked.
    work.refreshed = True
    _, work.session = vendor_session(work.task.tenant_id, work.installation_id, refresh=True)
    return _send_once(work, context, items)


def _send_once(work: _Work, context: PageContext, items: list[Sending]) -> list[tuple[Sending, Sent]]:
    sender = Sender(work.connector, work.session, context)
    return sender.send_together(items) if len(items) > 1 else [(items[0], sender.send(items[0]))]


def _settle(work: _Work, context: PageContext, done: list[tuple[Sending, Sent]]) -> None:
    """Write down what became of writes, in one transaction; then join what somebody else has changed over there."""
    if not done:
        return
    gone = [item for item, outcome in done if isinstance(outcome, Gone)]
    with transaction():
        tasks.fence(work.task)
        sql = page_writes.connection()
        # Deletes first: the record of one may be the twin of a record whose create is answered here.
        intent_outcomes.confirm_deleted(sql, context, [item for item in gone if item.operation == "delete"])
        intent_outcomes.confirm(sql, context, [outcome for _, outcome in done if isinstance(outcome, Answer)])
        lost = [item for item in gone if item.operation != "delete"]
        if lost:
            page_deletes.delete_links(sql, context, [item.external_id or "" for item in lost], 0)
            intent_outcomes.put_back(sql, context, [item.id for item in lost])
        refused = [outcome for _, outcome in done if isinstance(outcome, Refusal)]
        intent_failures.refuse(sql, context, refused)
        intent_outcomes.again_after(sql, context, [refusal.intent_id for refusal in refused])
        backs = {outcome for _, outcome in done if isinstance(outcome, Back)}
        for back in backs:
            ids = [item.id for item, outcome in done if outcome == back]
            intent_outcomes.put_back(sql, context, ids, seconds=back.seconds, state=back.state, absent=back.absent)
    met: list[uuid.UUID] = []
    unread: list[uuid.UUID] = []
    for item, outcome in done:
        read = outcome.record if isinstance(outcome, Met) else outcome.read if isinstance(outcome, Answer) else None
        counts = apply_record(work.task, context, read, None, anyway=True) if read is not None else Counts()
        if isinstance(outcome, Met):
            (unread if counts.failed or counts.filtered else met).append(item.id)
    if met or unread:
        with transaction():
            tasks.fence(work.task)
            sql = page_writes.connection()
            intent_outcomes.wait_for_reading(sql, context, unread)
            intent_outcomes.put_back(sql, context, [name for name in met if name not in work.met])
            # Whoever changes it all the time over there does not keep a worker busy.
            intent_outcomes.put_back(sql, context, [name for name in met if name in work.met], seconds=_PAUSE)
        work.met.update(met)
