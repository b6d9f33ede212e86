"""Creates of which nobody knows whether they were made: a person says where the record is, or has it sent again."""

import uuid

from sqlalchemy import select, update

from app.db import db, write
from app.errors import ConflictError, InvalidError
from app.models.intents import Intent
from app.models.runs import FailedRecord
from app.services import audit, failed_records, intent_outcomes, intents, tasks, vendor_hosts
from app.services.intent_claims import Sending
from app.services.intent_outcomes import Answer
from app.services.page_context import Out, PageContext
from app.services.page_writes import connection
from connectors.sdk import External, Written

_LONGEST = 500


def get_doubtful(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> FailedRecord:
    """Return a failed record that is in doubt; ConflictError when it no longer is."""
    failed = failed_records.get_failed_record(tenant_id, failed_id)
    parked = failed.state in ("parked", "ignored")
    if failed.code != failed_records.IN_DOUBT or not parked or failed.record_id is None:
        raise ConflictError("This record is no longer in doubt.")
    return failed


def look_there(tenant_id: uuid.UUID, failed_id: uuid.UUID, external_id: str) -> None:
    """Have a worker look for the record at the other side under the id a person names, and link it if it is there."""
    failed, external_id = get_doubtful(tenant_id, failed_id), external_id.strip()
    if not 0 < len(external_id) <= _LONGEST:
        raise InvalidError("The id is missing.", {"external_id": "Give the id that the record has there."})
    failed.override = {"link_to": {"value": external_id, "instead_of": failed.message}}
    host = vendor_hosts.host_of(tenant_id, failed.installation_id)
    tasks.add_task(tenant_id, "fast", "link_record", str(failed_id), ref=failed.installation_id, host=host)
    audit.write(
        tenant_id, "failed_record.linked", "failed_record", str(failed_id), failed.title,
        installation_id=failed.installation_id,
    )  # fmt: skip


def is_looking(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> bool:
    """Whether a worker is still to look."""
    return tasks.is_live(tenant_id, "link_record", str(failed_id))


def named_id(failed: FailedRecord) -> str:
    """Return the id that a person has named last, empty when nobody has."""
    return str((failed.override or {}).get("link_to", {}).get("value", ""))


def not_found(tenant_id: uuid.UUID, failed_id: uuid.UUID, vendor: str) -> None:
    """There is no record with the id that was named; it stays in doubt."""
    failed = failed_records.get_failed_record(tenant_id, failed_id)
    failed.message = (
        f"{vendor} has no record with the id “{named_id(failed)[:80]}”. Whether it was created is not known."
    )


def link(context: PageContext, failed: FailedRecord, found: External) -> None:
    """Join the record with the one that was found there, as the answer that was lost would have done.

    Nothing counts as agreed on by that: the caller applies what is there, and fields that differ are merged.
    """
    assert failed.record_id is not None
    written = select(Intent.id).where(
        Intent.tenant_id == context.tenant_id, Intent.record_id == failed.record_id, Intent.stream == context.stream,
        Intent.installation_id == context.installation_id, Intent.operation == "create", Intent.state == "parked",
    )  # fmt: skip
    intent_id = db.session.scalar(written.order_by(Intent.id.desc()).limit(1)) or failed.id
    sending = Sending(intent_id, failed.record_id, "create", None, None, {}, {})
    answer = Answer(sending, Written(found.id, found.version, found.data))
    intent_outcomes.confirm(connection(), context, [answer])


def send_again(tenant_id: uuid.UUID, failed_id: uuid.UUID) -> None:
    """Have the record created at the other side once more: if it is there already, it will be there twice."""
    failed = get_doubtful(tenant_id, failed_id)
    failed.state, failed.tries, failed.override = "waiting", 1, None
    assert failed.record_id is not None
    write(
        update(Intent)
        .where(
            Intent.tenant_id == tenant_id, Intent.record_id == failed.record_id, Intent.stream == failed.stream,
            Intent.installation_id == failed.installation_id, Intent.state == "parked",
        )
        .values(state="dropped")
    )  # fmt: skip
    out = Out(failed.installation_id, failed.stream)
    intents.plan(connection(), tenant_id, [(out, failed.record_id)], cause="Sent again after a lost answer", told=0)
    audit.write(
        tenant_id, "failed_record.sent_again", "failed_record", str(failed_id), failed.title,
        installation_id=failed.installation_id,
    )  # fmt: skip
