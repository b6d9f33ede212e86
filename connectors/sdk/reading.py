"""Reading one page of a stream: what to ask, what the items are, and where the pass goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from connectors.sdk import answers, cursors, paging
from connectors.sdk.errors import ConnectorError, CursorExpiredError, VendorDataError
from connectors.sdk.expressions import compile_path, fill, look_up
from connectors.sdk.http import Response
from connectors.sdk.manifest import Condition, Request, Stream
from connectors.sdk.paging import Checkpoint
from connectors.sdk.schema.streams import Deleted, Incremental, Paging

_MOST_SHOWN = 10_000


@dataclass(frozen=True, slots=True)
class External:
    """One external record as the vendor sent it."""

    id: str
    data: dict[str, Any]
    version: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True)
class Rejected:
    """Something in a page that is no record: why, and what was there."""

    id: str | None
    data: Any
    reason: str


@dataclass(frozen=True)
class Page:
    """One page: records, tombstones, and where the pass stands after it."""

    records: tuple[External, ...]
    deleted: tuple[str, ...]
    checkpoint: Checkpoint
    last: bool
    total: int | None = None
    rejected: tuple[Rejected, ...] = ()


class Call(Protocol):
    """How a request is sent: `position` are the parameters of paging and cursor."""

    def __call__(
        self, request: Request, names: Mapping[str, Any], position: Mapping[str, Any] | None = None,
        *, place: str = "query", url: str | None = None, missing: bool = False,
    ) -> Response: ...  # fmt: skip


@dataclass(frozen=True)
class _Reading:
    """How this pass reads: the stream's own way, or what its cursor declares instead."""

    request: Request
    records: str
    item: str
    id: str
    paging: Paging
    deleted: Deleted | None
    where: list[Condition]


def _reading(stream: Stream, incremental: bool) -> _Reading:
    own = (stream.request, stream.records, stream.item, stream.id, stream.paging, stream.deleted, stream.where)
    cursor = stream.incremental
    if cursor is None or not incremental:
        return _Reading(*own)
    other = (cursor.request, cursor.records, cursor.item, cursor.id, cursor.paging, cursor.deleted, cursor.where)
    return _Reading(*(mine if theirs is None else theirs for mine, theirs in zip(own, other, strict=True)))  # type: ignore[arg-type]  # pairs of one type


def read_page(call: Call, stream: Stream, at: Checkpoint, names: Mapping[str, Any], now: datetime) -> Page:
    """Read the page at a checkpoint; `names` are what the request may use beside the cursor."""
    cursor, since = stream.incremental, at.window or at.since
    reading = _reading(stream, since is not None)
    if cursor and cursors.too_old(since, cursor.keeps_days, now):
        raise CursorExpiredError(f"{since} is further back than the {cursor.keeps_days} days that are kept.")
    until = cursors.after(since, cursor.step_seconds, now) if cursor and cursor.step_seconds else None
    position = paging.position(reading.paging, at.token)
    url = at.token if reading.paging.kind in ("next_url", "link", "header_url") else None
    known = dict(names)
    if cursor and since is not None:
        known |= {"since": cursors.render(since, cursor), "until": cursors.render(until or cursors.iso(now), cursor)}
        query = {cursor.parameter: known["since"], cursor.until_parameter: known["until"] if until else None}
    else:
        query = {}
    request = reading.request
    added = {name: value for name, value in query.items() if name and value is not None and url is None}
    if added:
        request = request.model_copy(update={"query": {**request.query, **added}})
    response = call(request, known, position, place=reading.paging.place, url=url)
    data = response.json()
    items = answers.first(data, reading.records)
    news, shown = items, at.shown
    if cursor and cursor.order == "newest" and since is not None:
        news, shown = _first_said(reading, items, at)
    page = _read_items(stream, reading, news, known)
    token = paging.next_token(reading.paging, at.token, response, data, items)
    values = _cursor_values(cursor, items)
    if token is not None and _passed(cursor, values, since):
        token = None
    high_water = _high_water(cursor, at, response, data, values)
    ids = [record.id for record in page.records] + list(page.deleted)
    if not ids and items:
        ids = [f"none of {len(items)} on page {at.page}"]
    onward = paging.advance(reading.paging, at, token, ids, high_water)
    onward = replace(onward, started=at.started or cursors.server_time(response.headers.get("date"), now))
    onward, last = _window(cursor, reading.paging, at, onward, items, values, until)
    return replace(page, checkpoint=replace(onward, shown=shown), last=last, total=_total(stream, response, data))


def _window(
    cursor: Incremental | None, paging_: Paging, at: Checkpoint, onward: Checkpoint, items: list[Any],
    values: list[Any], until: str | None,
) -> tuple[Checkpoint, bool]:  # fmt: skip
    """Return the checkpoint and whether it is the end, after looking at caps and step windows."""
    count, next_window = at.count + len(items), None
    if cursor and cursor.cap and onward.token is not None and count + paging_.size > cursor.cap:
        next_window = cursors.of_last(items, values, cursor)
        if next_window == (at.window or at.since):
            raise ConnectorError(
                f"More than {cursor.cap} items have the same time.", code="window_stuck",
                user_message="Too many records were changed at the same moment for the other side to list them all.",
                fix="Start a full sync of this stream: it reads them another way.",
            )  # fmt: skip
    elif onward.token is None and until is not None:
        next_window = until
    if next_window is None:
        return replace(onward, count=count), onward.token is None
    return replace(onward, token=None, window=next_window, count=0, seen=(), fingerprint=None, empty=0), False


def _cursor_values(cursor: Incremental | None, items: list[Any]) -> list[Any]:
    if cursor is None or cursor.kind != "field":
        return []
    read = compile_path(cursor.field or "")
    return [value for item in items if (value := read(item)) is not None]


def _passed(cursor: Incremental | None, values: list[Any], since: str | None) -> bool:
    """Whether a feed that starts with the newest has reached what was read before."""
    if cursor is None or cursor.order != "newest" or since is None:
        return False
    start = cursors.moment(since, Incremental(kind="etag"))
    found = [at for value in values if (at := cursors.moment(value, cursor))]
    return start is not None and bool(found) and min(found) < start


def _first_said(reading: _Reading, items: list[Any], at: Checkpoint) -> tuple[list[Any], tuple[str, ...]]:
    """Return the items of a feed sorted newest first without older news of the same records, and marks of all records."""
    shown, news = dict.fromkeys(at.shown), []
    for item in items:
        if all(holds(condition, item) for condition in reading.where):
            mark = paging.mark(look_up(look_up(item, reading.item), reading.id))[:12]
            if mark not in shown:
                news.append(item)
            shown[mark] = None
    if len(shown) > _MOST_SHOWN:
        raise CursorExpiredError(f"More than {_MOST_SHOWN:,} records have changed: reading in full is the better way.")
    return news, tuple(shown)


def scope_of(stream: Stream, names: Mapping[str, Any]) -> str:
    """Return what stands before the ids of a parent's children."""
    return f"{names['parent']['id']}/" if stream.parent and stream.parent.scoped_ids and "parent" in names else ""


def _read_items(stream: Stream, reading: _Reading, items: list[Any], names: Mapping[str, Any]) -> Page:
    records: list[External] = []
    deleted: list[str] = []
    rejected: list[Rejected] = []
    read_id = compile_path(reading.id)
    version = compile_path(stream.version) if stream.version else None
    updated = compile_path(stream.updated) if stream.updated else None
    scope = scope_of(stream, names)
    for item in items:
        if reading.where and not all(holds(condition, item) for condition in reading.where):
            continue
        record = look_up(item, reading.item) if reading.item else item
        found = read_id(record)
        if not isinstance(record, dict) or isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            rejected.append(Rejected(None, record, "The record has no id."))
        elif reading.deleted and look_up(item, reading.deleted.path) == reading.deleted.equals:
            deleted.append(f"{scope}{found}")
        else:
            if stream.add or stream.remove:
                record = _reshaped(stream, record, names)
            records.append(
                External(f"{scope}{found}", record, _text(version, record), _text(updated, record))
            )  # fmt: skip
    return Page(tuple(records), tuple(deleted), Checkpoint("full"), False, None, tuple(rejected))


def one_record(stream: Stream, item: Any, names: Mapping[str, Any]) -> External | None:
    """Return the record of an answer that holds one; None when it is marked deleted, VendorDataError when it is none."""
    reading = replace(_reading(stream, False), item="", where=[])
    page = _read_items(stream, reading, [item], names)
    if page.rejected:
        raise VendorDataError(f"The answer is no record: {page.rejected[0].reason}")
    return page.records[0] if page.records else None


def _text(read: Any, record: dict[str, Any]) -> str | None:
    value = read(record) if read else None
    return None if value is None else str(value)


def _reshaped(stream: Stream, record: dict[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    record = {**record, **fill(dict(stream.add), {**names, "record": record})}
    for path in stream.remove:
        *above, name = path.split(".")
        inner, copy = record, record
        for part in above:
            if not isinstance(inner.get(part), dict):
                break
            copy = inner[part] = dict(inner[part])
            inner = copy
        else:
            inner.pop(name, None)
    return record


def holds(condition: Condition, item: Any) -> bool:
    """Whether an item meets a condition."""
    value = look_up(item, condition.path)
    if condition.exists is not None:
        return (value is not None) == condition.exists
    if condition.one_of is not None:
        return value in condition.one_of
    return value not in (condition.none_of or [])


def _total(stream: Stream, response: Response, data: Any) -> int | None:
    found = look_up(data, stream.total) if stream.total else None
    if stream.total_header:
        found = response.headers.get(stream.total_header.lower())
    text = str(found)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _high_water(
    cursor: Incremental | None, at: Checkpoint, response: Response, data: Any, values: list[Any]
) -> str | None:
    if cursor is None:
        return None
    if cursor.kind == "etag":
        # The tag of the first page: what changes while paging is then read again by the next pass.
        return at.high_water or response.headers.get("etag", "").strip(cursor.strip or '"') or None
    if cursor.kind == "token":
        found = look_up(data, cursor.path or "")
        return str(found) if found else at.high_water
    return cursors.newest(values, at.high_water, cursor)
