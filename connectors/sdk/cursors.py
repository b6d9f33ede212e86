"""Cursors of time: read in whatever form the vendor writes, kept as ISO 8601 in UTC, sent in the form it wants."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.sdk.errors import VendorDataError
from connectors.sdk.schema.streams import Incremental

# Epochs beyond this many seconds are milliseconds: it is the year 5138.
_MILLISECONDS = 1e11


def moment(value: Any, cursor: Incremental) -> datetime | None:
    """Return a time as the vendor wrote it, None when it is none. Times without a zone are UTC."""
    try:
        if isinstance(value, str) and cursor.pattern:
            found = datetime.strptime(value, cursor.pattern)  # noqa: DTZ007  # the zone follows below
        elif isinstance(value, int | float) or (isinstance(value, str) and _is_number(value)):
            number = float(value)
            found = datetime.fromtimestamp(number / 1000 if abs(number) > _MILLISECONDS else number, UTC)
        elif isinstance(value, str):
            found = datetime.fromisoformat(value)
        else:
            return None
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_number(text: str) -> bool:
    return len(text) > 8 and text.replace(".", "", 1).isascii() and text.replace(".", "", 1).isdigit()


def iso(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, with Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def render(since: str | None, cursor: Incremental) -> str | None:
    """Return a kept cursor in the form the vendor wants; a cursor that is no time goes as it came."""
    if since is None or cursor.kind != "field" or cursor.format == "text":
        return since
    at = moment(since, Incremental(kind="etag"))
    if at is None:
        return since
    if cursor.format in ("epoch_s", "epoch_ms"):
        return str(int(at.timestamp() * (1000 if cursor.format == "epoch_ms" else 1)))
    if cursor.format == "custom":
        return at.strftime(cursor.pattern or "")
    if cursor.format == "date":
        return at.date().isoformat()
    if cursor.format == "iso_ms":
        # Always with its three digits: who compares times as texts would take 10:00:00Z to be later than 10:00:00.500Z.
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return iso(at)


def newest(values: Iterable[Any], known: str | None, cursor: Incremental) -> str | None:
    """Return the newest of these values and of what is known; values that are no time are left out."""
    if cursor.format == "text":
        texts = [str(value) for value in values if value is not None] + ([known] if known is not None else [])
        return max(texts, default=None)
    moments = [found for value in values if (found := moment(value, cursor)) is not None]
    before = moment(known, Incremental(kind="etag")) if known else None
    if before:
        moments.append(before)
    return iso(max(moments)) if moments else known


def earlier(since: str, seconds: int) -> str:
    """Return a kept cursor so much earlier; one that is no time stays."""
    at = moment(since, Incremental(kind="etag"))
    return iso(at - timedelta(seconds=seconds)) if at and seconds else since


def earliest(high_water: str, started: str | None) -> str:
    """Return the earlier of the newest change seen and the pass's start; a cursor that is no time stays."""
    newest, start = (moment(text, Incremental(kind="etag")) for text in (high_water, started))
    return iso(start) if newest and start and start < newest else high_water


def after(since: str | None, seconds: int, now: datetime) -> str | None:
    """Return the end of the window that starts at `since`; None when it reaches now."""
    at = moment(since, Incremental(kind="etag")) if since else None
    if at is None or at + timedelta(seconds=seconds) >= now:
        return None
    return iso(at + timedelta(seconds=seconds))


def too_old(since: str | None, days: int | None, now: datetime) -> bool:
    """Whether a kept cursor lies further back than so many days."""
    at = moment(since, Incremental(kind="etag")) if since and days else None
    return at is not None and now - at > timedelta(days=days or 0)


def of_last(items: list[Any], values: list[Any], cursor: Incremental) -> str:
    """Return the cursor of the last item of a page; VendorDataError when it has none."""
    at = moment(values[-1], cursor) if values else None
    if at is None:
        raise VendorDataError(f"The last of {len(items)} items has no time to go on from.")
    return iso(at)


def server_time(header: str | None, now: datetime) -> str:
    """Return the vendor's own time from its Date header (RFC 9110, 6.6.1), ours when it sends none."""
    try:
        return iso(parsedate_to_datetime(header)) if header else iso(now)
    except (ValueError, TypeError, OverflowError):
        return iso(now)
