"""Lists, the same everywhere: `data` and `next`, an opaque cursor; and the ETag of an answer."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from flask import request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from app.api.errors import ApiError

Item = TypeVar("Item")
Row = TypeVar("Row")


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _written(value: Any) -> Any:
    # pydantic takes numbers as well, and many other ways to write a time.
    if value is not None and not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        raise ValueError("give a time as RFC 3339 has it, like 2026-11-27T22:15:00Z")
    return value


# A time as it is sent.
Moment = Annotated[AwareDatetime, BeforeValidator(_written)]


class Page(BaseModel, Generic[Item]):
    """A page of a list. `next` is null at the end."""

    data: list[Item]
    next: str | None = Field(description="Send it as `cursor` to go on; null at the end.")


class PageQuery(BaseModel):
    """Where a list goes on, and how much of it."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[
        str, Field(max_length=400, pattern="^[A-Za-z0-9_-]*$", description="`next` of the page before.")
    ] = ""
    limit: Annotated[int, Field(ge=1, le=500, description="How many at most.")] = 50


def pack(*values: Any) -> str:
    """Return values as an opaque cursor."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def unpack(cursor: str, *kinds: Callable[[Any], Any]) -> list[Any] | None:
    """Return the values of a cursor, None for an empty one. ApiError when it was not made here."""
    if not cursor:
        return None
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(values) != len(kinds):
            raise ValueError("length")
        return [kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise ApiError(422, "invalid_cursor", "This cursor was not made here. Begin without one.") from None


def cut(rows: Sequence[Row], limit: int, place: Callable[[Row], tuple[Any, ...]]) -> tuple[Sequence[Row], str | None]:
    """Return the rows of a page and its `next`, of rows that were read with one more than the limit."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], pack(*place(rows[limit - 1]))


def etag_of(body: bytes) -> str:
    """Return the ETag of an answer."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(etag: str) -> bool:
    """Whether the caller holds this answer already (If-None-Match)."""
    return request.if_none_match.contains_weak(etag.removeprefix("W/").strip('"'))
