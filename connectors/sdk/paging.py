"""How the next page is found, and what stops a paging that would never end (reliability V07-V09)."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import orjson
from requests.utils import parse_header_links

from connectors.sdk.errors import ConnectorError, VendorDataError
from connectors.sdk.expressions import look_up
from connectors.sdk.http import Response
from connectors.sdk.schema.streams import Paging

_REMEMBERED, _EMPTY_PAGES = 50, 3


@dataclass(frozen=True)
class Checkpoint:
    """Where a pass stands. `token` finds the next page; `high_water` is the newest cursor value seen."""

    mode: str
    since: str | None = None
    token: Any = None
    high_water: str | None = None
    seen: tuple[str, ...] = ()
    page: int = 0
    fingerprint: str | None = None
    empty: int = 0
    # The start of the window that is being read, and how many items of it have been.
    window: str | None = None
    count: int = 0
    # The vendor's own time at the start of the pass.
    started: str | None = None
    # Marks of the records that a feed sorted newest first has shown: what it says of them further on is older.
    shown: tuple[str, ...] = ()

    @classmethod
    def start(cls, mode: str, since: str | None) -> "Checkpoint":
        """Return the start of a pass."""
        return cls(mode, since)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Checkpoint":
        """Return it from JSON."""
        return cls(**{**data, "seen": tuple(data["seen"]), "shown": tuple(data.get("shown", ()))})


def position(paging: Paging, token: Any) -> dict[str, Any]:
    """Return the parameters that ask for a page."""
    asked: dict[str, Any] = {paging.size_parameter: paging.size} if paging.size_parameter else {}
    if paging.kind == "page":
        asked[paging.parameter] = token if token is not None else paging.start
    elif paging.kind == "offset":
        asked[paging.parameter] = token or 0
    elif paging.kind in ("cursor", "last_id") and token is not None:
        asked[paging.parameter] = token
    return asked


def next_token(paging: Paging, token: Any, response: Response, data: Any, items: list[Any]) -> Any:
    """Return what finds the page after this one, None when this was the last. VendorDataError when it is unusable."""
    if paging.more and not look_up(data, paging.more):
        return None
    match paging.kind:
        case "cursor":
            return _plain(look_up(data, paging.path or "")) or None
        case "next_url" | "link" | "header_url":
            return _address(paging, response, data)
        case "last_id":
            found = look_up(items[-1], paging.path or "id") if items else None
            return _plain(found) if paging.more or len(items) >= paging.size else None
        case "page" if paging.more or len(items) >= paging.size:
            return (token if token is not None else paging.start) + 1
        case "offset" if paging.more or len(items) >= paging.size:
            return (token or 0) + len(items)
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list | bool):
        raise VendorDataError("The answer's cursor is neither a text nor a number.")
    return value


def _address(paging: Paging, response: Response, data: Any) -> str | None:
    if paging.kind == "link":
        links = parse_header_links(response.headers.get("link", ""))
        found = next((link["url"] for link in links if "next" in str(link.get("rel", "")).lower().split()), None)
    elif paging.kind == "header_url":
        found = response.headers.get(paging.header.lower())
    else:
        found = look_up(data, paging.path or "")
    if not found:
        return None
    if not isinstance(found, str):
        raise VendorDataError("The answer's next address is not a text.")
    # RFC 8288, section 3.1: a link may be relative to the page it stands on.
    return urljoin(response.url, found)


def advance(paging: Paging, at: Checkpoint, token: Any, ids: list[str], high_water: str | None) -> Checkpoint:
    """Return the checkpoint after a page; ConnectorError when the paging goes round in circles."""
    found = mark(token)
    fingerprint = mark(ids) if ids else None
    empty = 0 if ids else at.empty + 1
    if token is not None:
        if found in at.seen:
            raise _endless("the same page is announced again")
        if fingerprint is not None and fingerprint == at.fingerprint:
            raise _endless("two pages hold the same records")
        if empty >= _EMPTY_PAGES:
            raise _endless(f"{_EMPTY_PAGES} pages in a row are empty")
        if at.page + 1 >= paging.max_pages:
            raise _endless(f"there are more than {paging.max_pages:,} pages")
    seen = (*at.seen, found)[-_REMEMBERED:]
    return replace(
        at, token=token, high_water=high_water, seen=seen, page=at.page + 1, fingerprint=fingerprint, empty=empty
    )


def mark(value: Any) -> str:
    """Return a short mark of a value."""
    return hashlib.blake2b(orjson.dumps(value), digest_size=8).hexdigest()


def _endless(reason: str) -> ConnectorError:
    return ConnectorError(
        f"The paging does not end: {reason}.", code="paging_loop",
        user_message="The other side's list does not come to an end, so the sync stopped.",
        fix="Tell support: the integration or the other side has a fault. What was read so far is kept.",
    )  # fmt: skip
