"""The task that looks whether the fields of an account have changed."""

from app.services import drift, listings, runs, tasks
from app.services.tasks import Done, LeasedTask, Outcome
from app.transaction import outside, transaction
from connectors.sdk import ConnectorError, FieldInfo
from jobs.drain import Slice
from jobs.vendor import vendor_session


def check_fields(task: LeasedTask, _slice: Slice) -> Outcome:
    """List the fields of each stream that is due and note what has changed; a vendor that fails is asked in a day."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        due = drift.list_due(task.tenant_id, task.ref)
        manifest = listings.manifest_of(runs.get_installation(task.tenant_id, task.ref).listing_version_id)
    asked = [name for name in due if manifest.stream(name).discovery is not None]
    found: dict[str, list[FieldInfo]] = {}
    try:
        connector, session = vendor_session(task.tenant_id, task.ref)
        with outside():
            for name in asked:
                found[name] = connector.discover(session, name)
    except ConnectorError:
        pass  # Runs say what is wrong with the vendor; here only the answers that came count.
    with transaction():
        tasks.fence(task)
        for name, fields in found.items():
            drift.note(task.tenant_id, task.ref, name, fields)
        drift.put_off(task.tenant_id, task.ref, due)
    return Done()
