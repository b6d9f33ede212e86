"""A person settles a conflict about a whole record: it was deleted on one side, or fits more than one of the host's."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import delete as sql_delete

from app.clock import now
from app.db import db
from app.errors import ConflictError, InvalidError
from app.ids import new_ids
from app.models.installations import Installation
from app.models.records import Link, Record
from app.models.runs import Conflict
from app.services import conflicts, intents, listings, page_conflicts, page_writes, pages, passes, problems, runs
from app.services import record_edits as edits
from app.services.conflict_decisions import By, hold, require_open, write_audit
from app.services.page_context import Out, PageContext
from app.sync.keys import keys_in
from app.sync.plan import Held, Incoming, Known, plan_page
from app.tenancy import scoped

# What may be chosen, by kind of conflict -> what the conflict keeps of it.
DELETE_CHOICES = {
    "deleted_there": {"delete": "theirs", "create": "ours", "keep": "kept"},
    "deleted_here": {"keep": "theirs", "delete": "ours"},
}
Answer = Literal["delete", "create", "keep"]


def decide_delete(tenant_id: uuid.UUID, conflict_id: uuid.UUID, answer: Answer, *, seen: str, by: By) -> Conflict:
    """Settle a conflict between a delete and an edit, and return it; a settled one is answered anew.

    `delete` it here (and there, where deletes are carried out), `create` it there again, or `keep` it as it is.
    ConflictError when the conflict or its record is not as the page that was `seen` has shown it.
    """
    conflict, record = hold(tenant_id, conflict_id)
    allowed = DELETE_CHOICES.get(conflict.kind, {})
    if answer not in allowed:
        raise InvalidError("Choose what is to happen with the record.", {"answer": "Choose one."})
    again = conflict.state == "settled"
    if again:
        _require_unchanged(conflict, record, seen)
    else:
        require_open(conflict, record, seen)
    assert record is not None
    conflict.state, conflict.resolution, conflict.choices = "settled", allowed[answer], {"record": answer}
    conflict.settled_at, conflict.settled_by, conflict.similar = now(), by.id, None
    db.session.flush()  # What follows ends the conflicts that are open still.
    act(tenant_id, Out(conflict.installation_id, conflict.stream), [record], answer, by)
    problems.sum_up_conflicts(tenant_id, conflict.installation_id)
    write_audit(
        tenant_id, conflict, "conflict.changed" if again else "conflict.settled", record, answer=answer
    )  # fmt: skip
    return conflict


def _require_unchanged(conflict: Conflict, record: Record | None, seen: str) -> None:
    """A decision may be taken back while the record is as the decision has left it."""
    if "record" not in conflict.choices or record is None:
        raise ConflictError("Nothing has been decided here that could be taken back.", code="conflict_open")
    gone = conflict.choices["record"] == "delete"
    if (record.deleted_at is not None) != gone or conflicts.digest_of(conflict, record) != seen:
        raise ConflictError(
            "The record has changed since this was decided. It is left as it is.", code="conflict_moved"
        )


def act(tenant_id: uuid.UUID, place: Out, records: Sequence[Record], answer: Answer, by: By) -> None:
    """Do with locked records of one stream what was answered about them; their conflicts are settled already."""
    writer, ids = f"{by.name}, who settled a conflict", [record.id for record in records]
    if answer == "delete":
        edits.remove(tenant_id, ids, writer=writer)
        return
    gone = [edits.Edit(record.id, {}, restore=True) for record in records if record.deleted_at is not None]
    if gone:
        edits.apply(tenant_id, gone, writer=f"{by.name}, who took a decision back")
    if answer == "create" and records:
        if place not in intents.outs_of(tenant_id, records[0].object_type):
            raise ConflictError("Records of this kind do not flow out, so they cannot be created there.")
        rows = [(place, record_id) for record_id in ids]
        intents.plan(page_writes.connection(), tenant_id, rows, cause=writer, operation="create")


def decide_match(
    tenant_id: uuid.UUID, conflict_id: uuid.UUID, record_id: uuid.UUID | None, *, seen: str, by: By
) -> Conflict:
    """Say which record an external one is, None for a new one, and return the conflict.

    Both are joined by the values that were read last, as a page of a run would; then it is read afresh. ConflictError
    when it is settled or not as it was `seen`.
    """
    conflict = conflicts.get_conflict(tenant_id, conflict_id)
    context = _context(tenant_id, conflict, by)
    keys = keys_in(conflict.theirs, context.match_keys)
    if keys:  # Holds off others that create records with the same ones.
        page_writes.find_matches(page_writes.connection(), context, keys)
    records = edits.hold(tenant_id, [record_id] if record_id else [])
    conflict, _ = hold(tenant_id, conflict_id)
    require_open(conflict, None, seen)
    record = records.get(record_id) if record_id else None
    if record_id and (record is None or record.deleted_at or str(record_id) not in conflict.candidates):
        raise ConflictError("That record is not there any more. Choose once more.", code="conflict_moved")
    conflict.state, conflict.resolution = "settled", "linked" if record else "created"
    conflict.settled_at, conflict.settled_by = now(), by.id
    conflict.record_id = _join(tenant_id, context, conflict, record)
    problems.sum_up_conflicts(tenant_id, conflict.installation_id)
    runs.queue_read(tenant_id, conflict.installation_id, conflict.stream, conflict.external_id)
    write_audit(tenant_id, conflict, "conflict.settled", record, answer=conflict.resolution)
    return conflict


def _context(tenant_id: uuid.UUID, conflict: Conflict, by: By) -> PageContext:
    query = scoped(Installation, tenant_id).where(Installation.id == conflict.installation_id)
    installation = db.session.scalars(query).one()
    manifest = listings.manifest_of(installation.listing_version_id)
    context = passes.open_context(tenant_id, installation, conflict.stream, manifest)
    writer = f"{by.name}, who settled a conflict with {installation.name}"
    return replace(context, writer=writer, directions=replace(context.directions, creates=True))


def _join(tenant_id: uuid.UUID, context: PageContext, conflict: Conflict, record: Record | None) -> uuid.UUID:
    """Join the external record to this one, or to a new one; return which."""
    db.session.flush()  # What follows goes past the session, and may open a conflict of values.
    there = (Link.tenant_id == tenant_id, Link.installation_id == context.installation_id)
    link = db.session.scalar(
        db.select(Link).where(*there, Link.stream == context.stream, Link.external_id == conflict.external_id)
    )
    if link is not None:
        if record and link.record_id == record.id:
            return record.id
        # It was taken for another record: that one keeps its values, and is one of our side alone from now on.
        db.session.execute(sql_delete(Link).where(*there, Link.id == link.id))
    key = ("record", "chosen")
    item = Incoming(conflict.external_id, dict(conflict.theirs), b"", None, (key,) if record else ())
    known = Known(
        held={record.id: Held(record.data, deleted=False, updated_at=record.updated_at)} if record else {},
        matches={key: (record.id,)} if record else {},
    )
    plan = plan_page([item], known, context.directions, new_ids(1))
    sql = page_writes.connection()
    page_writes.write_records(sql, context, plan)
    page_writes.write_links(sql, context, plan)
    page_writes.write_changes(sql, context, plan, 0)
    page_conflicts.write_conflicts(sql, context, plan)
    pages.pass_on(sql, context, plan)
    if record:
        db.session.expire(record)  # The session remembers it as it was.
    return plan.writes[0].record_id
