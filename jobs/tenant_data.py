"""All data of a tenant: out of here for good."""

import uuid
from datetime import timedelta

from app.clock import now
from app.models.tenant_data import Erasure
from app.services import erasures, tasks, tenant_tables
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.tenancy import bind_tenant
from app.transaction import transaction
from jobs.drain import Slice

_LOOK_AGAIN = timedelta(seconds=2)


def erase_tenant(task: LeasedTask, slice_: Slice) -> Outcome:
    """Erase the tenant that `ref` names, the platform's tenant being bound; each step can be done again.

    First its access at vendors is given back, then all rows go, then the people who belonged to it alone.
    """
    assert task.ref is not None
    subject = task.ref
    with transaction():
        tasks.fence(task)
        found = erasures.begin(subject)
        if found is None:
            return Done()
        if not isinstance(found, Erasure):
            return Again(found)
        patient = found.started_at is not None and now() - found.started_at < erasures.PATIENCE
    with bind_tenant(subject):
        if not _give_back(task, subject, patient=patient):
            return Again(now() + _LOOK_AGAIN)
        if not _erase_rows(task, slice_, subject):
            return Again(now())
    people = _erase_people(task, subject)
    with transaction():
        tasks.fence(task)
        erasures.finish(subject, people)
    return Done()


def _give_back(task: LeasedTask, subject: uuid.UUID, *, patient: bool) -> bool:
    """End all installations, and return whether nobody has to be waited for any more."""
    with transaction():
        erasures.fence(task)
        erasures.keep_people(subject)
    while True:
        with transaction():
            erasures.fence(task)
            installation_id = erasures.next_installation(subject)
            if installation_id is None:
                break
            erasures.end_installation(subject, installation_id)
    with transaction():
        erasures.fence(task)
        if patient and erasures.is_giving_back(subject):
            return False
        erasures.keep_revocations(subject)
    return True


def _erase_rows(task: LeasedTask, slice_: Slice, subject: uuid.UUID) -> bool:
    """Delete all rows, until a pass over all tables finds none; return whether that is so."""
    gone = True
    while gone:
        gone = False
        for table in tenant_tables.erase_order():
            count = 1
            while count:
                with transaction():
                    erasures.fence(task)
                    count = erasures.erase_some(subject, table.name)
                gone = gone or bool(count)
                if slice_.over():
                    return False
    with transaction():
        erasures.fence(task)
        erasures.erase_tenant(subject)
    return True


def _erase_people(task: LeasedTask, subject: uuid.UUID) -> int:
    """Delete the accounts of those who belonged to it alone; return how many are gone."""
    with transaction():
        tasks.fence(task)
        found = erasures.begin(subject)
        people = [uuid.UUID(each) for each in found.people] if isinstance(found, Erasure) else []
    kept = 0
    for user_id in people:
        with bind_tenant(None, user_id), transaction():
            kept += not (erasures.erase_person(user_id) or erasures.is_gone(user_id))
    return len(people) - kept
