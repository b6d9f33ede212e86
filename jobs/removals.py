"""The task that deletes the records which only a removed installation has brought, batch by batch."""

from app.clock import now
from app.services import removals, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.transaction import transaction
from jobs.drain import Slice


def delete_brought(task: LeasedTask, slice_: Slice) -> Outcome:
    """Go on where the last transaction has left off, until none is left."""
    assert task.ref is not None
    more = True
    while more:
        with transaction():
            tasks.fence(task, moved=True)
            more = removals.delete_batch(task.tenant_id, task.ref)
        if more and slice_.over():
            return Again(now())
    return Done()
