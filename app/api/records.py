"""Records: read, written one by one or in batches, and upserted by the host's own ids."""

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

from flask import request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api import gate
from app.api.errors import ApiError, FieldProblem
from app.api.operations import Noun, Reply
from app.api.paging import Moment, Page, PageQuery, cut, unpack
from app.models.records import Record as RecordRow
from app.services import object_types, record_batches, records
from app.services.record_batches import Item, Result

noun = Noun("records", "Records", "The host's records, whichever integrations they are linked to.")
Values = Annotated[
    dict[str, Any], Field(description="Field to value; null empties a field. Fields that are not named stay.")
]
ExternalId = Annotated[str, Field(min_length=1, max_length=200, description="Your own id of the record.")]
Match = Annotated[
    str | None,
    Field(max_length=100, description="A key field, like `email`: a record without an external id that has the same "
          "value is taken, and gets this one."),
]  # fmt: skip


class Record(BaseModel):
    """A record. `data` is null for keys without the scope `payloads`."""

    id: uuid.UUID
    object_type: str
    external_id: str | None
    version: int
    data: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class Records(Page[Record]):
    """A page of records, last changed last."""


class Link(BaseModel):
    """Where a record is linked to."""

    installation_id: uuid.UUID
    stream: str
    external_id: str
    since: datetime


class Links(Page[Link]):
    """The links of a record."""


class RecordQuery(PageQuery):
    """Which records."""

    find: Annotated[
        str, Field(max_length=200, description="The exact value of a key field, an id, or an id at a vendor.")
    ] = ""
    external_id: Annotated[str, Field(max_length=200, description="Your own id of the record.")] = ""
    updated_since: Annotated[Moment | None, Field(description="Only what has changed since.")] = None
    deleted: Annotated[bool, Field(description="The deleted ones instead of the live ones.")] = False


class NewRecord(BaseModel):
    """A record to be made."""

    model_config = ConfigDict(extra="forbid")

    data: Values
    external_id: ExternalId | None = None


class RecordChange(BaseModel):
    """New values of some fields."""

    model_config = ConfigDict(extra="forbid")

    data: Values


class Upsert(RecordChange):
    """Values of a record that may be there already."""

    match: Match = None


class BatchItem(BaseModel):
    """What is to become of one record: named by `id`, or by `external_id`."""

    model_config = ConfigDict(extra="forbid")

    action: Literal["create", "update", "upsert", "delete"]
    id: uuid.UUID | None = None
    external_id: ExternalId | None = None
    data: Values = Field(default_factory=dict)
    version: Annotated[int | None, Field(ge=1, le=2**31 - 1, description="The version it must have.")] = None
    match: Match = None

    @model_validator(mode="after")
    def _named(self) -> "BatchItem":
        if self.action in ("update", "delete") and (self.id is None) == (self.external_id is None):
            raise ValueError("name the record by id or by external_id")
        if self.action == "create" and self.id is not None:
            raise ValueError("a record to be made has no id yet")
        if self.action == "upsert" and (self.external_id is None or self.id is not None):
            raise ValueError("an upsert names the record by external_id")
        return self


class Batch(BaseModel):
    """Up to 500 records."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[BatchItem], Field(min_length=1, max_length=500)]


class BatchError(BaseModel):
    """Why one item was not done."""

    status: int
    code: str
    detail: str
    errors: list[FieldProblem] | None


class BatchResult(BaseModel):
    """What became of one item."""

    outcome: Literal["created", "updated", "unchanged", "deleted", "failed"]
    id: uuid.UUID | None
    external_id: str | None
    version: int | None
    error: BatchError | None


class BatchResults(BaseModel):
    """A result for each item, in their order."""

    results: list[BatchResult]


def shown(row: RecordRow) -> Record:
    """Return a record as the caller may see it."""
    return Record(
        id=row.id, object_type=row.object_type, external_id=row.external_id, version=row.version,
        data=row.data if gate.caller().payloads else None, created_at=row.created_at, updated_at=row.updated_at,
        deleted_at=row.deleted_at,
    )  # fmt: skip


def _reply(row: RecordRow, status: int = 0) -> Reply:
    return Reply(shown(row), status, {"ETag": f'"{row.version}"'})


@noun.get("/records/<object_type>", scope="list", query=RecordQuery, answer=Records)
def list_records(object_type: str, query: RecordQuery) -> Records:
    """List records

    Last changed last, so a record that changes while you page is met again and none is missed. To follow changes,
    take a cursor of the change stream first, then page here, then read the stream on.
    """
    object_types.get_object_type(object_type)
    place = unpack(query.cursor, datetime.fromisoformat, uuid.UUID)
    found = records.page_records(
        gate.caller().tenant_id, object_type, value=query.find, external_id=query.external_id, deleted=query.deleted,
        since=query.updated_since, after=(place[0], place[1]) if place else None, limit=query.limit + 1,
    )  # fmt: skip
    rows, onward = cut(found, query.limit, lambda row: (row.updated_at.isoformat(), str(row.id)))
    return Records(data=[shown(row) for row in rows], next=onward)


@noun.get("/records/<object_type>/<uuid:record_id>", scope="read", answer=Record)
def show_record(object_type: str, record_id: uuid.UUID) -> Reply:
    """Show a record

    Its ETag is its version: send it as If-Match with a change. Deleted records are shown with `deleted_at`.
    """
    return _reply(_found(object_type, record_id))


def _found(object_type: str, record_id: uuid.UUID) -> RecordRow:
    row = records.get_record(gate.caller().tenant_id, record_id)
    if row.object_type != object_type:
        raise ApiError(404, "not_found", "There is no such record.")
    return row


@noun.get("/records/<object_type>/<uuid:record_id>/links", scope="read", answer=Links)
def list_record_links(object_type: str, record_id: uuid.UUID) -> Links:
    """List where a record is linked to"""
    row = _found(object_type, record_id)
    found = records.list_links(row.tenant_id, row.id)
    return Links(
        data=[
            Link(installation_id=k.installation_id, stream=k.stream, external_id=k.external_id, since=k.created_at)
            for k in found
        ],
        next=None,
    )


@noun.post("/records/<object_type>", scope="write", body=NewRecord, answer=Record, status=201)
def create_record(object_type: str, body: NewRecord) -> Reply:
    """Create a record

    It goes on to the integrations that take records of its type. With an `external_id` that is taken: 409.
    """
    return _done(_one(object_type, Item("create", body.data, external_id=body.external_id)), 201)


@noun.put(
    "/records/<object_type>/external/<external_id>", scope="write", body=Upsert, answer=Record, if_match=True,
    also=(201, 404, 409),
)  # fmt: skip
def upsert_record(object_type: str, external_id: str, body: Upsert) -> Reply:
    """Create or change a record by your own id of it

    A deleted one is there again. Answers 201 when it is new.
    """
    if len(external_id) > 200:
        raise ApiError(422, "invalid", "An external id has at most 200 characters.")
    result = _one(
        object_type, Item("upsert", body.data, external_id=external_id, match=body.match, version=_if_match())
    )
    return _done(result, 201 if result.outcome == "created" else 200)


@noun.patch(
    "/records/<object_type>/<uuid:record_id>", scope="write", body=RecordChange, answer=Record, if_match=True,
    also=(409,),
)  # fmt: skip
def update_record(object_type: str, record_id: uuid.UUID, body: RecordChange) -> Reply:
    """Change fields of a record

    With If-Match only when it still has the version you have seen.
    """
    return _done(_one(object_type, Item("update", body.data, record_id=record_id, version=_if_match())), 200)


@noun.delete(
    "/records/<object_type>/<uuid:record_id>", scope="write", answer=None, status=204, if_match=True, also=(409,)
)
def delete_record(object_type: str, record_id: uuid.UUID) -> None:
    """Delete a record

    The integrations follow where their settings say that deletes are mirrored.
    """
    _one(object_type, Item("delete", {}, record_id=record_id, version=_if_match()))


@noun.post("/records/<object_type>/batch", scope="write", body=Batch, answer=BatchResults)
def write_batch(object_type: str, body: Batch) -> BatchResults:
    """Write up to 500 records at once

    Each has its own result; one that fails stops no other. Naming one record twice fails for the second.
    """
    items = [Item(item.action, item.data, item.id, item.external_id, item.version, item.match) for item in body.items]
    found = record_batches.apply(gate.caller().tenant_id, object_type, items, writer=_writer())
    return BatchResults(results=[_result(item, result) for item, result in zip(items, found, strict=True)])


def _writer() -> str:
    return f"API key {gate.caller().name}"


def _one(object_type: str, item: Item) -> Result:
    [result] = record_batches.apply(gate.caller().tenant_id, object_type, [item], writer=_writer())
    if result.error is not None:
        raise result.error
    return result


def _done(result: Result, status: int) -> Reply:
    assert result.record is not None
    return _reply(result.record, status)


def _if_match() -> int | None:
    """Return the version that If-Match demands; ApiError when it names none that we give."""
    value = request.headers.get("If-Match")
    if value is None or value.strip() == "*":
        return None
    version = value.strip().strip('"')
    if not version.isascii() or not version.isdigit() or len(version) > 9:
        raise ApiError(412, "version_mismatch", "If-Match names no version of a record.")
    return int(version)


def _result(item: Item, result: Result) -> BatchResult:
    row, error = result.record, result.error
    fields: dict[str, str] = getattr(error, "fields", {})
    return BatchResult(
        outcome=result.outcome,
        id=row.id if row else item.record_id,
        external_id=row.external_id if row else item.external_id,
        version=row.version if row else None,
        error=BatchError(
            status=error.status, code=error.code, detail=error.message,
            errors=[FieldProblem(pointer=f"/data/{name}", detail=text) for name, text in fields.items()] or None,
        ) if error else None,
    )  # fmt: skip
