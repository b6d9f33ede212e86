"""The task that looks what the undo of a run would do, or undoes it: one batch of its journal after the other."""

from app.clock import now
from app.services import tasks, undo_batches
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.transaction import transaction
from jobs.drain import Slice


def undo_run(task: LeasedTask, slice_: Slice) -> Outcome:
    """Go through the journal of a run from where the last transaction has left off."""
    assert task.ref is not None
    more = True
    while more:
        with transaction():
            tasks.fence(task, moved=True)
            more = undo_batches.work(task.tenant_id, task.ref)
        if more and slice_.over():
            return Again(now())
    return Done()
