"""Counting what has changed by the hour and moved by the day: tenant after tenant, each in a transaction of its own."""

from app.clock import now
from app.services import retention, stream_volumes, tasks, volumes
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs.drain import Slice


def fold(task: LeasedTask, slice_: Slice) -> Outcome:
    """Count the hours and days that are over. `ref` is the last tenant that is finished: the next slice goes on after it."""
    with transaction():
        tasks.fence(task)
        tenants = retention.list_tenants(after=task.ref)
    for tenant_id in tenants:
        with bind_tenant(tenant_id), transaction():
            volumes.fold(tenant_id)
        with bind_tenant(tenant_id), transaction():
            stream_volumes.fold(tenant_id)
        if slice_.over() and tenant_id != tenants[-1]:
            return Again(now(), ref=tenant_id)
    return Done()
