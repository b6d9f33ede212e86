"""Telling people what has become of their installations."""

from app.services import notices, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.transaction import transaction
from jobs.drain import Slice


def notify(task: LeasedTask, _slice: Slice) -> Outcome:
    """Queue the e-mails that are due; look again when something is about to settle or to be late."""
    with transaction():
        again = notices.tell(task.tenant_id)
        # Last: whoever changes a status holds its row when it asks for this task.
        tasks.fence(task)
    return Again(again) if again else Done()
