"""The preview task: reads a little from the vendor, or opens what is sealed, and writes nothing but the answer."""

import uuid
from typing import Any

from app.models.installations import Preview
from app.services import corrections, listings, lookups, previews, runs, tasks
from app.services.tasks import Done, LeasedTask, Outcome
from app.transaction import outside, transaction
from connectors.sdk import Connector, ConnectorError, Session
from jobs import samples
from jobs.drain import Slice
from jobs.lookups import look
from jobs.vendor import vendor_session


def answer(task: LeasedTask, _slice: Slice) -> Outcome:
    """Answer a question of a page."""
    assert task.ref is not None
    with transaction():
        tasks.fence(task)
        preview = previews.get(task.tenant_id, task.ref)
    result, message, fix = {}, None, None
    try:
        if preview.kind == "payload":
            result = _payload(task, preview)
        else:
            connector, session = vendor_session(task.tenant_id, preview.installation_id)
            result = _ANSWERS[preview.kind](task, preview, connector, session)
    except ConnectorError as error:
        message, fix = error.user_message, error.fix
    with transaction():
        tasks.fence(task)
        preview = previews.get(task.tenant_id, task.ref)
        preview.state = "failed" if message else "ready"
        preview.result, preview.error, preview.error_fix = result, message, fix
    return Done()


def _choices(_task: LeasedTask, preview: Preview, connector: Connector, session: Session) -> dict[str, Any]:
    with outside():
        found = connector.choices(session, preview.request["field"])
    return {"choices": [{"value": choice.value, "label": choice.label} for choice in found]}


def _payload(task: LeasedTask, preview: Preview) -> dict[str, Any]:
    """Open what is kept of a failed record; nobody is called for it."""
    with transaction():
        installation = runs.get_installation(task.tenant_id, preview.installation_id)
        stream = listings.manifest_of(installation.listing_version_id).stream(preview.stream or "")
        failed_id = uuid.UUID(preview.request["failed_id"])
        return {"rows": corrections.open_payload(task.tenant_id, failed_id, stream)}


_ANSWERS = {
    "choices": _choices, "sample": samples.sample, "lookup": samples.lookup, "fields": samples.fields,
    lookups.KIND: look,
}  # fmt: skip
