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
            count = fan_out.spread(task.tenant_id)
            # Last: whoever switches a subscription off wakes us and holds what senders wait for, and those hold their
            # task, which is woken above. In this order nobody waits in a circle; without the lease nothing is committed.
            tasks.fence(task, moved=True)
        if count == 0:
            return Done()
        if slice_.over():
            return Again(now())
