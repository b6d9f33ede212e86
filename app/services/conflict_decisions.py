"""A person settles a conflict of values: each field takes the value of a side or another one, and both sides get it.

Whoever writes here locks the record first, then the conflict: so do the pages of a run.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select

from app.arrays import texts, uuids
from app.clock import now
from app.db import db
from app.errors import ConflictError, InvalidError
from app.models.accounts import User
from app.models.installations import Installation
from app.models.records import Record
from app.models.runs import Conflict
from app.services import audit, conflict_details, conflicts, intents, object_types, page_writes, passes, problems
from app.services import record_edits as edits
from app.services.conflict_details import Details, FieldSides
from app.services.page_context import Out
from app.services.page_writes import as_json
from app.tenancy import scoped

Side = Literal["theirs", "ours", "base", "edited"]


@dataclass(frozen=True)
class Choice:
    """What a field is to hold: the value of a side, what was last agreed on, or `value`."""

    side: Side
    value: Any = None


@dataclass(frozen=True)
class By:
    """Who decides, as the journal, the audit log and the conflict keep it."""

    id: uuid.UUID | None
    name: str


@dataclass(frozen=True)
class Decided:
    """A conflict of values with what was decided: `values` for the record, `ours` as they were until now."""

    conflict_id: uuid.UUID
    external_id: str
    record_id: uuid.UUID
    theirs: Mapping[str, Any]
    ours: Mapping[str, Any]
    values: Mapping[str, Any]


def decide_fields(
    tenant_id: uuid.UUID, conflict_id: uuid.UUID, choices: Mapping[str, Choice], *, seen: str, by: By
) -> Conflict:
    """Settle a conflict of values, field by field, and return it.

    ConflictError when it is settled, or a value has changed since the page that was `seen`; InvalidError names the
    fields without a choice and those whose new value does not fit.
    """
    conflict, record = hold(tenant_id, conflict_id)
    require_open(conflict, record, seen)
    assert record is not None
    edited = _edited(tenant_id, conflict, record, choices)
    ours = conflicts.ours_now(conflict, record.data)
    sides = {"theirs": conflict.theirs, "ours": ours, "base": conflict.base, "edited": edited}
    values = {name: sides[choices[name].side].get(name) for name in conflict.theirs}
    one = Decided(conflict.id, conflict.external_id, record.id, conflict.theirs, ours, values)
    place, taken = Out(conflict.installation_id, conflict.stream), {n: str(choices[n].side) for n in conflict.theirs}
    write_decisions(tenant_id, place, [one], taken, edited, by=by)
    problems.sum_up_conflicts(tenant_id, conflict.installation_id)
    write_audit(tenant_id, conflict, "conflict.settled", record, choices=taken)
    db.session.refresh(conflict)
    return conflict


@dataclass(frozen=True)
class Outlook:
    """What a decision would do: (field, value) written on our side and on the other, fields that differ from then on.

    `open` are fields without a choice yet, `wrong` says of fields why their new value does not fit.
    """

    here: list[tuple[FieldSides, Any]]
    there: list[tuple[FieldSides, Any]]
    differ: list[FieldSides]
    open: list[FieldSides]
    wrong: dict[str, str]


def foresee(details: Details, choices: Mapping[str, Choice]) -> Outlook:
    """Return what these choices would write where."""
    found = Outlook([], [], [], [], {})
    for item in details.fields:
        choice = choices.get(item.name)
        if choice is None:
            found.open.append(item)
            continue
        value = {"theirs": item.theirs, "ours": item.ours, "base": item.base}.get(choice.side)
        if choice.side == "edited":
            try:
                value = edits.checked(details.kind.name, {item.name: choice.value})[item.name]
            except InvalidError as error:
                found.wrong.update(error.fields)
                continue
        if value != item.ours:
            found.here.append((item, value))
        if value != item.theirs:
            found.there.append((item, value)) if item.flows_out else found.differ.append(item)
    return found


def hold(tenant_id: uuid.UUID, conflict_id: uuid.UUID) -> tuple[Conflict, Record | None]:
    """Lock a conflict and its record until the transaction ends; NotFoundError when it is not there."""
    found = conflicts.get_conflict(tenant_id, conflict_id)
    records = edits.hold(tenant_id, [found.record_id] if found.record_id else [])
    query = scoped(Conflict, tenant_id).where(Conflict.id == conflict_id).with_for_update()
    conflict = db.session.scalars(query.execution_options(populate_existing=True)).one()
    return conflict, records.get(conflict.record_id) if conflict.record_id else None


def require_open(conflict: Conflict, record: Record | None, seen: str) -> None:
    """Raise ConflictError when it has been settled, or is not what the person has seen any more."""
    if conflict.state != "open":
        raise ConflictError(_settled_sentence(conflict), code="conflict_settled")
    if conflict.kind != "match" and (record is None or record.deleted_at is not None):
        raise ConflictError("The record was deleted here meanwhile. Nothing is left to decide.", code="conflict_gone")
    if conflicts.digest_of(conflict, record) != seen:
        raise ConflictError(
            "A value has changed since this page was shown. These are the values now: choose once more.",
            code="conflict_moved",
        )


def _settled_sentence(conflict: Conflict) -> str:
    if conflict.resolution == "agreed":
        return "Both sides have come to agree meanwhile. Nothing is left to decide."
    if conflict.resolution == "gone":
        return "What this was about is gone. Nothing is left to decide."
    name = db.session.scalar(select(User.name).where(User.id == conflict.settled_by)) if conflict.settled_by else None
    return f"{name or 'Somebody'} has settled this conflict already. Your choice was not saved."


def _edited(tenant_id: uuid.UUID, conflict: Conflict, record: Record, choices: Mapping[str, Choice]) -> dict[str, Any]:
    """Return the checked values of fields that take neither side's."""
    fields = {item.name: item for item in object_types.list_fields(record.object_type)}
    wrong = {name: f"Choose a value for {fields[name].label}." for name in conflict.theirs if name not in choices}
    if wrong:
        raise InvalidError(" ".join(wrong.values()), wrong)
    wanted = {name: choices[name].value for name in conflict.theirs if choices[name].side == "edited"}
    checked = edits.checked(record.object_type, wanted)
    wrong = {
        name: f"{fields[name].label} must have a value."
        for name, value in checked.items()
        if value is None and fields[name].required
    }
    if wrong:
        raise InvalidError(" ".join(wrong.values()), wrong)
    return checked


def resolution_of(choices: Mapping[str, str]) -> str:
    """Return the word for a decision field by field."""
    sides = set(choices.values())
    if sides & {"edited", "base"}:
        return "edited"
    return sides.pop() if len(sides) == 1 else "mixed"


def write_decisions(
    tenant_id: uuid.UUID, place: Out, decided: Sequence[Decided], choices: Mapping[str, str],
    edited: Mapping[str, Any], *, by: By, leader: uuid.UUID | None = None,
) -> None:  # fmt: skip
    """Write a decision about locked conflicts of one stream: settle them, agree on what is there, pass on what differs.

    `choices` and `edited` are the same for all; `leader` is the conflict in which it was decided. A fixed number of
    statements, however many there are.
    """
    sql = page_writes.connection()
    db.session.flush()  # What follows goes past the session.
    sql.execute(
        "UPDATE conflicts c SET state = 'settled', resolution = %b, choices = %b::jsonb, edited = %b::jsonb, "
        "ours = t.o::jsonb, settled_at = now(), settled_by = %b::uuid, decided_with = %b::uuid "
        "FROM unnest(%b::uuid[], %b::text[]) AS t(i, o) WHERE c.tenant_id = %b AND c.id = t.i",
        (
            resolution_of(choices), as_json(dict(choices)).decode(), as_json(dict(edited)).decode(), by.id, leader,
            uuids([one.conflict_id for one in decided]), texts([as_json(dict(one.ours)) for one in decided]), tenant_id,
        ),
    )  # fmt: skip
    # What is there now is agreed on: where the record holds another value, that is our change, and is sent.
    sql.execute(
        "UPDATE links l SET base = l.base || t.b::jsonb, updated_at = now() FROM unnest(%b::text[], %b::text[]) "
        "AS t(e, b) WHERE l.tenant_id = %b AND l.installation_id = %b AND l.stream = %b AND l.external_id = t.e",
        (
            texts([one.external_id for one in decided]), texts([as_json(dict(one.theirs)) for one in decided]),
            tenant_id, place.installation_id, place.stream,
        ),
    )  # fmt: skip
    cause = writer_of(tenant_id, place.installation_id, choices, by)
    edits.apply(tenant_id, [edits.Edit(one.record_id, one.values) for one in decided], writer=cause)
    ahead = [one.record_id for one in decided if dict(one.values) != dict(one.theirs)]
    _plan(tenant_id, place, ahead, cause)


def _plan(tenant_id: uuid.UUID, place: Out, record_ids: Sequence[uuid.UUID], cause: str) -> None:
    """Send what differs from the other side, where the stream flows out."""
    if record_ids:
        installed = passes.get_installed(tenant_id, place.installation_id, place.stream)
        outs = intents.outs_of(tenant_id, installed.object_type)
        rows = [(out, record_id) for out in outs if out == place for record_id in record_ids]
        intents.plan(page_writes.connection(), tenant_id, rows, cause=cause)


def writer_of(tenant_id: uuid.UUID, installation_id: uuid.UUID, choices: Mapping[str, str], by: By) -> str:
    """Return how the journal names a person's choice."""
    query = select(Installation.name).where(Installation.tenant_id == tenant_id, Installation.id == installation_id)
    name = db.session.scalar(query)
    what = {"theirs": f"chose {name}'s value", "ours": "chose our value"}
    return f"{by.name}, who {what.get(resolution_of(choices), f'settled a conflict with {name}')}"


def write_audit(tenant_id: uuid.UUID, conflict: Conflict, action: str, record: Record | None, **details: Any) -> None:
    """Keep who has decided what; values stay out of the audit log."""
    kind = object_types.get_object_type(record.object_type) if record else None
    title = conflict_details.title_of(record.data, kind.title_field) if record and kind else conflict.external_id
    audit.write(
        tenant_id, action, "conflict", str(conflict.id), title, installation_id=conflict.installation_id,
        stream=conflict.stream, **details,
    )  # fmt: skip


def take_other(tenant_id: uuid.UUID, conflict_id: uuid.UUID, name: str, side: Side, *, seen: str, by: By) -> Conflict:
    """Give a field of a settled conflict the value of another side after all, and return the conflict.

    ConflictError when it is open, or the record has changed since it was settled.
    """
    conflict, record = hold(tenant_id, conflict_id)
    if conflict.state != "settled" or conflict.kind != "fields" or name not in conflict.choices:
        raise ConflictError("Nothing has been decided here that could be taken back.", code="conflict_open")
    if record is None or record.deleted_at is not None:
        raise ConflictError("The record was deleted here meanwhile.", code="conflict_gone")
    if conflicts.digest_of(conflict, record) != seen or record.data.get(name) != conflict_details.written(
        conflict, name
    ):
        raise ConflictError(
            "The record has changed since this was decided. Its value is left as it is.", code="conflict_moved"
        )
    values = {"theirs": conflict.theirs, "ours": conflict.ours, "base": conflict.base}[side]
    taken = {**conflict.choices, name: side}
    conflict.choices, conflict.resolution = taken, resolution_of(taken)
    conflict.settled_by, conflict.settled_at, conflict.similar = by.id, now(), None
    writer = writer_of(tenant_id, conflict.installation_id, {name: side}, by)
    edits.apply(tenant_id, [edits.Edit(record.id, {name: values.get(name)})], writer=writer)
    write_audit(tenant_id, conflict, "conflict.changed", record, choices={name: side})
    return conflict
