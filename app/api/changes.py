"""The change stream of records."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.api import gate
from app.api.errors import ApiError
from app.api.operations import Noun
from app.api.paging import PageQuery, pack, unpack
from app.clock import now
from app.extensions import settings
from app.services import change_stream
from app.services.change_stream import Place

noun = Noun("changes", "Change stream", "What has become of records, each change once and none lost.")
_KINDS = {"created": "added", "restored": "added", "deleted": "deleted"}


class Change(BaseModel):
    """One change of a record. `data` has the fields that changed, null for keys without the scope `payloads`."""

    id: uuid.UUID
    record_id: uuid.UUID
    object_type: str
    external_id: str | None = Field(description="Your own id of the record.")
    kind: Literal["added", "updated", "deleted"]
    fields: list[str]
    data: dict[str, Any] | None
    writer: str
    installation_id: uuid.UUID | None
    at: datetime


class Changes(BaseModel):
    """Changes in the order of their transactions. `next` is always there: keep it, and ask again with it."""

    data: list[Change]
    next: str
    more: bool = Field(description="More is there already.")


class ChangeQuery(PageQuery):
    """Where to go on, and of which object type."""

    object_type: Annotated[str, Field(max_length=100)] = ""
    start: Annotated[
        Literal["first", "now"],
        Field(description="Without a cursor: with the oldest change that is kept, or with what comes from now on."),
    ] = "first"


@noun.get("/changes", scope="list", query=ChangeQuery, answer=Changes, also=(410,))
def list_changes(query: ChangeQuery) -> Changes:
    """Read the change stream

    To begin with all there is: take `next` of `?start=now`, list the records, then read on from that cursor. A change
    is shown when every transaction that began before it is over, so none is missed. A cursor older than the journal
    is kept for answers 410: begin again.
    """
    tenant_id = gate.caller().tenant_id
    place = _place(query.cursor)
    if place is None:
        if query.start == "now":
            return Changes(data=[], next=_cursor(change_stream.end()), more=False)
        place = change_stream.first(tenant_id)
    found = change_stream.read(tenant_id, place, object_type=query.object_type, limit=query.limit)
    return Changes(data=[_shown(row) for row in found.rows], next=_cursor(found.place), more=found.more)


def _place(cursor: str) -> Place | None:
    values = unpack(cursor, int, uuid.UUID, int)
    if values is None:
        return None
    if not 0 <= values[0] < 2**62 or not 0 <= values[2] < 2**33:
        raise ApiError(422, "invalid_cursor", "This cursor was not made here. Begin without one.")
    place = Place(values[0], values[1], datetime.fromtimestamp(values[2], UTC))
    if place.at < now() - timedelta(days=settings().keep_changes_days) or not change_stream.is_known(place):
        raise ApiError(410, "cursor_expired", "What follows this cursor is no longer kept. Begin again.")
    return place


def _cursor(place: Place) -> str:
    return pack(place.xid, str(place.id), int(place.at.timestamp()))


def _shown(row: Any) -> Change:
    deleted = row.operation == "deleted"
    return Change(
        id=row.id, record_id=row.record_id, object_type=row.object_type, external_id=row.external_id,
        kind=_KINDS.get(row.operation, "updated"), fields=sorted(row.before if deleted else row.after),  # type: ignore[arg-type]  # of the three
        data=({} if deleted else row.after) if gate.caller().payloads else None,
        writer=row.writer, installation_id=row.installation_id, at=row.created_at,
    )  # fmt: skip
