"""The daily pruning task: tenant after tenant, each in transactions of its own."""

import uuid

from app import log
from app.clock import now
from app.services import retention, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs.drain import Slice

_logger = log.logger(__name__)


def prune(task: LeasedTask, slice_: Slice) -> Outcome:
    """Delete what is past its time. `ref` is the last tenant that is finished: the next slice goes on after it."""
    with transaction():
        tasks.fence(task)
        tenants = retention.list_tenants(after=task.ref)
    finished, gone = task.ref, 0
    for tenant_id in tenants:
        count = retention.BATCH
        while count >= retention.BATCH:
            count = _prune(tenant_id)
            gone += count
            finished = tenant_id if count < retention.BATCH else finished
            if slice_.over() and finished != tenants[-1]:
                _logger.info("pruned in part", rows=gone)
                return Again(now(), ref=finished)
    _logger.info("pruned", rows=gone)
    return Done()


def _prune(tenant_id: uuid.UUID) -> int:
    with bind_tenant(tenant_id), transaction():
        return retention.prune_tenant(tenant_id)
