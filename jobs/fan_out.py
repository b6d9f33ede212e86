"""The fan-out task: what is new in a tenant becomes dispatches, batch after batch."""

from app.clock import now
from app.services import fan_out, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.transaction import transaction
from jobs.drain import Slice


def spread(task: LeasedTask, slice_: Slice) -> Outcome:
    """Hand on what is new until nothing is, or the slice is over.

    Its commit waits for the disk, and so for the pages before it, which do not (page_writes.open_page): no event leaves
    for a record that a crash takes back.
    """
    while True:
        with transaction():
            tasks.fence(task, moved=True)
            count = fan_out.spread(task.tenant_id)
        if count == 0:
            return Done()
        if slice_.over():
            return Again(now())
