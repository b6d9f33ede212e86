"""Conflicts: the queue, one with both values, and the decision about it."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api import gate
from app.api.operations import Noun
from app.api.paging import Page, PageQuery, pack, unpack
from app.errors import InvalidError
from app.models.runs import Conflict as ConflictRow
from app.services import conflict_decisions, conflict_details, conflict_records, conflicts
from app.services.conflict_decisions import By, Choice
from app.services.conflicts import Filters

noun = Noun("conflicts", "Conflicts", "Values of which one must give way, and records that fit several.")


class Conflict(BaseModel):
    """A conflict. Values are null for keys without the scope `payloads`."""

    id: uuid.UUID
    installation_id: uuid.UUID
    stream: str
    kind: Literal["match", "fields", "deleted_there", "deleted_here"]
    state: Literal["open", "settled"]
    record_id: uuid.UUID | None
    external_id: str
    fields: list[str]
    resolution: str | None
    created_at: datetime
    settled_at: datetime | None


class ConflictDetails(Conflict):
    """A conflict with what is known of both sides. Send `seen` with the decision."""

    base: dict[str, Any] | None
    ours: dict[str, Any] | None
    theirs: dict[str, Any] | None
    candidates: list[uuid.UUID]
    seen: str


class Conflicts(Page[Conflict]):
    """Conflicts, newest first."""


class ConflictQuery(PageQuery):
    """Which conflicts."""

    state: Literal["open", "settled"] = "open"
    installation_id: uuid.UUID | None = None


class FieldChoice(BaseModel):
    """What a field is to hold: the value of a side, what was last agreed on, or `value`."""

    model_config = ConfigDict(extra="forbid")

    side: Literal["theirs", "ours", "base", "edited"]
    value: Any = None


class Decision(BaseModel):
    """Of a conflict of values `choices`, of a match `record_id` or `new`, of a delete `answer`."""

    model_config = ConfigDict(extra="forbid")

    seen: Annotated[str, Field(max_length=200, description="As the conflict was shown.")]
    choices: Annotated[dict[str, FieldChoice] | None, Field(max_length=300)] = None
    record_id: uuid.UUID | None = None
    new: bool = False
    answer: Literal["delete", "create", "keep"] | None = None


def _shown(row: ConflictRow) -> dict[str, Any]:
    return {
        "id": row.id, "installation_id": row.installation_id, "stream": row.stream, "kind": row.kind,
        "state": row.state, "record_id": row.record_id, "external_id": row.external_id,
        "fields": sorted(row.theirs) if row.kind == "fields" else [], "resolution": row.resolution,
        "created_at": row.created_at, "settled_at": row.settled_at,
    }  # fmt: skip


@noun.get("/conflicts", scope="list", query=ConflictQuery, answer=Conflicts)
def list_conflicts(query: ConflictQuery) -> Conflicts:
    """List conflicts, newest first"""
    tenant_id = gate.caller().tenant_id
    place = unpack(query.cursor, uuid.UUID)
    found = conflicts.list_conflicts(
        tenant_id, Filters(show=query.state, installation=query.installation_id), before=place[0] if place else None,
        limit=query.limit,
    )  # fmt: skip
    return Conflicts(
        data=[Conflict.model_validate(_shown(item.conflict)) for item in found.items],
        next=pack(str(found.older)) if found.older else None,
    )


@noun.get("/conflicts/<uuid:conflict_id>", scope="read", answer=ConflictDetails)
def show_conflict(conflict_id: uuid.UUID) -> ConflictDetails:
    """Show a conflict with the values of both sides"""
    who = gate.caller()
    found = conflict_details.get_details(who.tenant_id, conflict_id)
    row, open_ = found.conflict, who.payloads
    data = found.record.data if found.record else None
    return ConflictDetails.model_validate(
        _shown(row)
        | {
            "base": row.base if open_ else None, "theirs": row.theirs if open_ else None,
            "ours": conflicts.ours_now(row, data) if open_ else None, "candidates": row.candidates,
            "seen": conflicts.digest_of(row, None if row.kind == "match" else found.record),
        }
    )  # fmt: skip


@noun.post("/conflicts/<uuid:conflict_id>/decide", scope="write", body=Decision, answer=ConflictDetails)
def decide_conflict(conflict_id: uuid.UUID, body: Decision) -> ConflictDetails:
    """Settle a conflict

    409 when it is settled already, or something has changed since it was shown: read it again.
    """
    who = gate.caller()
    row, by = conflicts.get_conflict(who.tenant_id, conflict_id), By(who.key_id, f"API key {who.name}")
    if row.kind == "fields":
        choices = {name: Choice(choice.side, choice.value) for name, choice in (body.choices or {}).items()}
        conflict_decisions.decide_fields(who.tenant_id, conflict_id, choices, seen=body.seen, by=by)
    elif row.kind == "match":
        if (body.record_id is None) != body.new:
            raise InvalidError("Choose which record it is.", {"/record_id": "Name a candidate, or say `new`."})
        conflict_records.decide_match(who.tenant_id, conflict_id, body.record_id, seen=body.seen, by=by)
    else:
        if body.answer is None:
            raise InvalidError("Choose what is to happen with the record.", {"/answer": "Choose one."})
        conflict_records.decide_delete(who.tenant_id, conflict_id, body.answer, seen=body.seen, by=by)
    return show_conflict(conflict_id)
