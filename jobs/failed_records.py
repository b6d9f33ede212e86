"""The retry task: failed records of one installation are fetched afresh, one by one, and applied alone.

What failed on its way out is planned again: the sender tells what becomes of it.
"""

import uuid
from datetime import timedelta

from app.clock import now
from app.services import doubts, failed_records, passes, runs, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import decide
from app.transaction import transaction
from connectors.sdk import Connector, ConnectorError, RecordError, Session
from jobs.drain import Slice
from jobs.records import apply_record, fetch
from jobs.vendor import vendor_session


def retry_records(task: LeasedTask, slice_: Slice) -> Outcome:
    """Retry the failed records that are due; the good ones are not read again."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        installation = runs.get_installation(task.tenant_id, task.ref)
        if installation.state != "active" or installation.blocked_code:
            return Done()  # The run that proves the repair has them tried again.
        failed_records.plan_due(task.tenant_id, task.ref)
        due = [(f.id, f.stream, f.external_id, f.code) for f in failed_records.list_due(task.tenant_id, task.ref)]
        if not due:
            failed_records.queue_retries(task.tenant_id, task.ref)
            return Done()
    try:
        connector, session = vendor_session(task.tenant_id, task.ref)
        for failed_id, stream, external_id, code in due:
            if code == "no_id" or connector.manifest.stream(stream).fetch is None:
                _leave(task, failed_id)
            else:
                _retry(task, connector, session, failed_id, stream, external_id)
            if slice_.over():
                break
    except ConnectorError as error:
        # The vendor, not the record, is the trouble: the records keep their tries.
        return Again(now() + timedelta(seconds=decide(error, 0).delay or 300))
    with transaction():
        tasks.fence(task)
        failed_records.sum_up(task.tenant_id, task.ref)
    return Done()


def _retry(
    task: LeasedTask, connector: Connector, session: Session, failed_id: uuid.UUID, stream: str, external_id: str
) -> None:
    try:
        record = fetch(connector, session, stream, external_id)
    except RecordError:
        # The other side refuses to show this one; the others go on.
        with transaction():
            tasks.fence(task)
            failed_records.settle_retry(task.tenant_id, failed_id)
        return
    with transaction():
        if record is None:
            tasks.fence(task)
            failed_records.resolve(task.tenant_id, failed_id)
            return
        assert task.ref is not None
        installation = runs.get_installation(task.tenant_id, task.ref)
        context = passes.open_context(task.tenant_id, installation, stream, connector.manifest)
    counts = apply_record(task, context, record, None)
    with transaction():
        tasks.fence(task)
        if counts.failed:
            failed_records.settle_retry(task.tenant_id, failed_id)
        else:
            failed_records.resolve(task.tenant_id, failed_id)


def _leave(task: LeasedTask, failed_id: uuid.UUID) -> None:
    with transaction():
        tasks.fence(task)
        failed_records.leave_to_pass(task.tenant_id, failed_id)


def link_record(task: LeasedTask, _slice: Slice) -> Outcome:
    """Look for a record whose creation is in doubt under the id that a person has named, and link it if it is there."""
    assert task.ref is not None
    failed_id = uuid.UUID(task.key)
    with transaction():
        tasks.fence(task)
        failed = failed_records.get_failed_record(task.tenant_id, failed_id)
        external_id = doubts.named_id(failed)
        installation = runs.get_installation(task.tenant_id, task.ref)
    try:
        connector, session = vendor_session(task.tenant_id, task.ref)
        found = fetch(connector, session, failed.stream, external_id)
    except RecordError:
        found = None
    except ConnectorError as error:
        return Again(now() + timedelta(seconds=decide(error, 0).delay or 300.0))
    with transaction():
        tasks.fence(task)
        if found is None:
            doubts.not_found(task.tenant_id, failed_id, connector.manifest.listing.name)
            return Done()
        context = passes.open_context(task.tenant_id, installation, failed.stream, connector.manifest)
        doubts.link(context, failed, found)
    apply_record(task, context, found, None)
    with transaction():
        tasks.fence(task)
        failed_records.sum_up(task.tenant_id, task.ref)
    return Done()
