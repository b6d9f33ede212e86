"""How the next page is found, and what stops a paging that would never end (reliability V07-V09)."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

import orjson

from connectors.sdk.errors import ConnectorError
from connectors.sdk.expressions import look_up
from connectors.sdk.http import Response
from connectors.sdk.manifest import Paging

_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*\brel="?next"?')
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
        return cls(**{**data, "seen": tuple(data["seen"])})


def page_query(paging: Paging, token: Any) -> dict[str, Any]:
    """Return the query parameters of a page."""
    query: dict[str, Any] = {paging.size_parameter: paging.size} if paging.size_parameter else {}
    if paging.kind == "page":
        query[paging.parameter] = token if token is not None else paging.start
    elif paging.kind == "offset":
        query[paging.parameter] = token or 0
    elif paging.kind == "cursor" and token is not None:
        query[paging.parameter] = token
    return query


def next_token(paging: Paging, token: Any, response: Response, data: Any, count: int) -> Any:
    """Return what finds the page after this one, None when this was the last."""
    if paging.kind in ("cursor", "next_url"):
        return look_up(data, paging.path or "") or None
    if paging.kind == "header_url":
        return response.headers.get(paging.header.lower()) or None
    if paging.kind == "link":
        found = _NEXT.search(response.headers.get("link", ""))
        return found[1] if found else None
    if count < paging.size:
        return None
    if paging.kind == "page":
        return (token if token is not None else paging.start) + 1
    if paging.kind == "offset":
        return (token or 0) + count
    return None


def advance(paging: Paging, at: Checkpoint, token: Any, ids: list[str], high_water: str | None) -> Checkpoint:
    """Return the checkpoint after a page; ConnectorError when the paging goes round in circles."""
    mark = _mark(token)
    fingerprint = _mark(ids) if ids else None
    empty = 0 if ids else at.empty + 1
    if token is not None:
        if mark in at.seen:
            raise _endless("the same page is announced again")
        if fingerprint is not None and fingerprint == at.fingerprint:
            raise _endless("two pages hold the same records")
        if empty >= _EMPTY_PAGES:
            raise _endless(f"{_EMPTY_PAGES} pages in a row are empty")
        if at.page + 1 >= paging.max_pages:
            raise _endless(f"there are more than {paging.max_pages:,} pages")
    seen = (*at.seen, mark)[-_REMEMBERED:]
    return replace(
        at, token=token, high_water=high_water, seen=seen, page=at.page + 1, fingerprint=fingerprint, empty=empty
    )


def _mark(value: Any) -> str:
    return hashlib.blake2b(orjson.dumps(value), digest_size=8).hexdigest()


def _endless(reason: str) -> ConnectorError:
    return ConnectorError(
        f"The paging does not end: {reason}.", code="paging_loop",
        user_message="The other side's list does not come to an end, so the sync stopped.",
        fix="Tell support: the integration or the other side has a fault. What was read so far is kept.",
    )  # fmt: skip
