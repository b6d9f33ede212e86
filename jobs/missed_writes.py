"""The daily check of write-back: the platform's task gives each tenant that writes to another side a task of its own."""

from app import log
from app.clock import now
from app.services import missed_writes, retention, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from jobs.drain import Slice

# A day is looked at twice: what a check that was late or lost has not seen is seen by the next.
DAYS = 2
_logger = log.logger(__name__)


def check(task: LeasedTask, slice_: Slice) -> Outcome:
    """Look at the changes of the last days, and plan those that no write has handled. `ref`: the change, or tenant, it goes on after."""
    if task.tenant_id == PLATFORM_TENANT:
        return _spread(task, slice_)
    after, missed = task.ref or missed_writes.begin(DAYS), 0
    while True:
        with transaction():
            tasks.fence(task)
            found = missed_writes.look(task.tenant_id, after)
        for out, count in found.missed.items():
            missed += count
            _logger.warning("changes missed", installation_id=str(out.installation_id), stream=out.stream, count=count)
        if found.after is None or missed >= missed_writes.MOST:
            return Done()
        after = found.after
        if slice_.over():
            return Again(now(), ref=after)


def _spread(task: LeasedTask, slice_: Slice) -> Outcome:
    with transaction():
        tasks.fence(task)
        tenants = retention.list_tenants(after=task.ref)
    for tenant_id in tenants:
        with bind_tenant(tenant_id), transaction():
            if missed_writes.is_told(tenant_id):
                tasks.add_task(tenant_id, "sync", "check_writes", "daily")
        if slice_.over() and tenant_id != tenants[-1]:
            return Again(now(), ref=tenant_id)
    return Done()
