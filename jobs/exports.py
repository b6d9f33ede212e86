"""The task that makes an export: one part after the other, so that a killed worker loses the part it was at."""

from app.clock import now
from app.services import exports, tasks
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.archive import ArchiveFullError
from app.transaction import transaction
from jobs.drain import Slice

_TOO_LARGE = "The file would be larger than 4 GB. Ask the operators of this marketplace for a copy of the data."
_BROKEN = "The export could not be made. Make a new one; if that fails as well, tell support."


def make_export(task: LeasedTask, slice_: Slice) -> Outcome:
    """Write the export that `ref` names from where the last transaction has left off."""
    assert task.ref is not None
    try:
        return _write(task, slice_)
    except ArchiveFullError:
        _fail(task, _TOO_LARGE)
        return Done()
    except tasks.LeaseLostError:
        raise
    except Exception:
        # The last try: whoever waits for the file is told; the error itself goes to the log and to the task.
        if task.attempts >= task.max_attempts:
            _fail(task, _BROKEN)
        raise


def _write(task: LeasedTask, slice_: Slice) -> Outcome:
    assert task.ref is not None
    more = True
    while more:
        with transaction():
            tasks.fence(task, moved=True)
            more = exports.work(task.tenant_id, task.ref)
        if more and slice_.over():
            return Again(now())
    return Done()


def _fail(task: LeasedTask, message: str) -> None:
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        exports.fail(task.tenant_id, task.ref, message)
