"""The retry task: failed records of one installation are fetched afresh, one by one, and applied alone."""

import uuid
from datetime import timedelta
from typing import Any

from app.clock import now
from app.services import failed_records, passes, problems, runs, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import decide
from app.transaction import transaction
from connectors.sdk import Connector, ConnectorError, Session
from jobs.drain import Slice
from jobs.records import apply_record, fetch
from jobs.vendor import vendor_session


def retry_records(task: LeasedTask, slice_: Slice) -> Outcome:
    """Retry the failed records that are due; the good ones are not read again."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        installation = runs.get_installation(task.tenant_id, task.ref)
        due = [(failed.id, failed.stream, failed.external_id) for failed in _due(task, installation.state)]
    if not due:
        return Done()
    try:
        connector, session = vendor_session(task.tenant_id, task.ref)
        for failed_id, stream, external_id in due:
            _retry(task, connector, session, failed_id, stream, external_id)
            if slice_.over():
                break
    except ConnectorError as error:
        # The vendor, not the record, is the trouble: the records keep their tries.
        return Again(now() + timedelta(seconds=decide(error, 0).delay or 300))
    with transaction():
        tasks.fence(task)
        problems.sum_up_records(task.tenant_id, task.ref)
        failed_records.queue_retries(task.tenant_id, task.ref)
    return Done()


def _due(task: LeasedTask, state: str) -> list[Any]:
    assert task.ref is not None
    return failed_records.list_due(task.tenant_id, task.ref) if state == "active" else []


def _retry(
    task: LeasedTask, connector: Connector, session: Session, failed_id: uuid.UUID, stream: str, external_id: str
) -> None:
    record = fetch(connector, session, stream, external_id)
    with transaction():
        if record is None:
            tasks.fence(task)
            failed_records.resolve_gone(task.tenant_id, failed_id)
            return
        assert task.ref is not None
        installation = runs.get_installation(task.tenant_id, task.ref)
        context = passes.open_context(task.tenant_id, installation, stream, connector.manifest)
    apply_record(task, context, record, None)
    with transaction():
        tasks.fence(task)
        failed_records.settle_retry(task.tenant_id, failed_id)
