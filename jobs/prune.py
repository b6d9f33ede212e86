"""The daily pruning task: tenant after tenant, each in transactions of its own."""

from app import log
from app.clock import now
from app.services import retention, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs.drain import Slice

_logger = log.logger(__name__)


def prune(task: LeasedTask, slice_: Slice) -> Outcome:
    """Delete what is past its time."""
    with transaction():
        tasks.fence(task)
        tenants = retention.list_tenants()
    gone = 0
    for tenant_id in tenants:
        more = True
        while more:
            with bind_tenant(tenant_id), transaction():
                count = retention.prune_tenant(tenant_id)
            gone += count
            more = count >= retention.BATCH
            if slice_.over():
                return Again(now())
    _logger.info("pruned", rows=gone)
    return Done()
