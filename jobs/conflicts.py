"""The task that carries a decision over to the conflicts that are similar to the one it was made in."""

from app.clock import now
from app.services import conflict_similar, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.transaction import transaction
from jobs.drain import Slice


def settle_conflicts(task: LeasedTask, slice_: Slice) -> Outcome:
    """Settle what is to follow the decision that the task refers to, a batch in each transaction."""
    assert task.ref is not None
    while True:
        with transaction():
            tasks.fence(task)
            more = conflict_similar.go_on(task.tenant_id, task.ref)
        if not more:
            return Done()
        if slice_.over():
            return Again(now())
