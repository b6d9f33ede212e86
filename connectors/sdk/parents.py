"""Streams that are read for each parent: a record of another stream, or one of a list.

The checkpoint's token holds the parents of one page, which of them is being read, and where its own pages stand, so a
crash goes on at the same page of the same parent.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from connectors.sdk import cursors
from connectors.sdk.errors import ConfigError
from connectors.sdk.manifest import Manifest, Parent, Stream
from connectors.sdk.paging import Checkpoint
from connectors.sdk.reading import Call, External, Page, read_page

ReadStream = Callable[[str, Checkpoint], Page]


def read_children(
    call: Call, read_stream: ReadStream, manifest: Manifest, stream: Stream, settings: Mapping[str, Any],
    at: Checkpoint, names: Mapping[str, Any], now: datetime,
) -> Page:  # fmt: skip
    """Read one page of one parent's children, or fetch the next parents (a page without records)."""
    assert stream.parent is not None
    token: dict[str, Any] = dict(at.token or {"parents": [], "index": 0, "inner": None, "upper": None, "more": True})
    if token["index"] >= len(token["parents"]):
        if not token["more"]:
            return Page((), (), replace(at, token=None, started=at.started or cursors.iso(now)), True)
        token, started = _next_parents(read_stream, manifest, stream.parent, settings, at, token)
        return _page(at, token, started, Page((), (), at, False))
    parent = token["parents"][token["index"]]
    # A parent is read whole or from the pass's own start on; its children's times would lose what comes meanwhile.
    inner = (
        Checkpoint.from_json(token["inner"]) if token["inner"] else Checkpoint.start(at.mode, _own_since(stream, at))
    )
    # A record may be deleted since it was listed; what a person has listed and is not there, the error table explains.
    asking = _looking(call) if stream.parent.stream else call
    try:
        page = read_page(asking, stream, inner, {**names, "parent": parent}, now)
    except _GoneError:
        page = Page((), (), inner, True)
    if page.last:
        token |= {"index": token["index"] + 1, "inner": None}
    else:
        token |= {"inner": page.checkpoint.to_json()}
    return _page(at, token, page.checkpoint.started, page)


def _own_since(stream: Stream, at: Checkpoint) -> str | None:
    return at.since if stream.incremental else None


def _page(at: Checkpoint, token: dict[str, Any], started: str | None, page: Page) -> Page:
    last = not token["more"] and token["index"] >= len(token["parents"])
    onward = replace(at, token=None if last else token, page=at.page + 1, started=at.started or started)
    return replace(page, checkpoint=onward, last=last, total=None)


class _GoneError(Exception):
    """The parent was deleted since it was listed."""


def _looking(call: Call) -> Call:
    def look(*args: Any, **more: Any) -> Any:
        response = call(*args, **{**more, "missing": True})
        if response.status in (404, 410):
            raise _GoneError
        return response

    return look


def _next_parents(
    read_stream: ReadStream, manifest: Manifest, parent: Parent, settings: Mapping[str, Any], at: Checkpoint,
    token: dict[str, Any],
) -> tuple[dict[str, Any], str | None]:  # fmt: skip
    """Return the token with the next parents, and the vendor's time where it was asked."""
    if parent.stream is None:
        values = parent.values or _listed(settings.get(parent.config or ""))
        return {**token, "parents": [_named(parent, value) for value in values], "index": 0, "more": False}, None
    start = Checkpoint.start(at.mode, at.since if parent.incremental else None)
    page = read_stream(parent.stream, Checkpoint.from_json(token["upper"]) if token["upper"] else start)
    parents = [{"id": record.id, "data": _small(record, parent, manifest)} for record in page.records]
    found = {"parents": parents, "index": 0, "inner": None, "upper": page.checkpoint.to_json(), "more": not page.last}
    return found, page.checkpoint.started


def _small(record: External, parent: Parent, manifest: Manifest) -> dict[str, Any]:
    # Only plain values: the checkpoint is a row that is written with each page.
    return {
        name: value
        for name, value in record.data.items()
        if isinstance(value, str | int | float | bool) and len(str(value)) <= 200
    }


def names_of(
    stream: Stream, settings: Mapping[str, Any], external_id: str | None, parent_id: str | None = None
) -> dict[str, Any]:
    """Return what a request for one record may use: `{id}`, within its parent where ids are scoped, and `{parent}`.

    A record that has no id yet goes to `parent_id`, else to the first parent of a list.
    """
    parent = stream.parent
    if parent is None or (external_id is not None and not parent.scoped_ids):
        return {"id": external_id}
    above, _, own = (external_id or "").rpartition("/")
    listed = parent.values or _listed(settings.get(parent.config or ""))
    above = above or parent_id or next(iter(listed), "")
    return {"id": own or None, **({"parent": _named(parent, above)} if above else {})}


def _listed(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else str(value or "").replace(",", "\n").splitlines()
    return list(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))


def _named(parent: Parent, value: str) -> dict[str, Any]:
    if not parent.split:
        return {"id": value}
    parts = value.split(parent.split)
    if len(parts) != len(parent.names) or not all(parts):
        raise ConfigError(
            f"{value!r} does not have {len(parent.names)} parts.",
            user_message=f"“{value[:80]}” is not of the form {parent.split.join(parent.names)}.",
            fix="Correct it in the settings.",
        )
    return {"id": value, **dict(zip(parent.names, parts, strict=True))}
