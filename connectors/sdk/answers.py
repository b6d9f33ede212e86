"""What an answer means: the manifest's error table first, then what the status says everywhere."""

import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.sdk.errors import (
    AuthError,
    ConfigError,
    ConnectorError,
    CursorExpiredError,
    RateLimitedError,
    ScopeError,
    UnavailableError,
    VendorDataError,
)
from connectors.sdk.expressions import look_up
from connectors.sdk.http import Response
from connectors.sdk.manifest import ErrorRule, Limits, Manifest

LONGEST_PAUSE = 900.0
_MEANINGS: dict[str, type[ConnectorError]] = {
    "retry": UnavailableError, "rate_limited": RateLimitedError, "reconnect": AuthError, "forbidden": ScopeError,
    "settings": ConfigError, "cursor_expired": CursorExpiredError, "fail": ConnectorError,
}  # fmt: skip


def raise_for(manifest: Manifest, response: Response) -> bool:
    """Raise what the answer means; return False when the table says to ignore it, True when it is good."""
    for rule in manifest.errors:
        if _applies(rule, response):
            if rule.means == "ignore":
                return False
            raise _MEANINGS[rule.means](
                _detail(response), user_message=rule.sentence or "", fix=rule.fix or "",
                retry_after=retry_after(response.headers),
            )  # fmt: skip
    if response.status < 300:
        return True
    raise _by_status(manifest, response)


def _by_status(manifest: Manifest, response: Response) -> ConnectorError:
    detail, name, pause = _detail(response), manifest.listing.name, retry_after(response.headers)
    if response.status == 429:
        return RateLimitedError(detail, user_message=f"{name} asks us to slow down.", retry_after=pause)
    if response.status == 401:
        return AuthError(detail, user_message=f"{name} no longer accepts the connection.")
    if response.status == 403:
        return ScopeError(detail, user_message=f"The account connected to {name} may not read this data.")
    if response.status in (408, 425) or response.status >= 500:
        return UnavailableError(detail, user_message=f"{name} cannot be reached at the moment.", retry_after=pause)
    if response.status == 410:
        return CursorExpiredError(detail)
    if response.status in (301, 302, 303, 307, 308):
        return ConfigError(detail, user_message=f"{name} sends us to another address, which we do not follow.")
    if response.status == 404:
        return ConfigError(
            detail,
            user_message=f"{name} has nothing at this address.",
            fix="Look whether the settings name the right place.",
        )
    return ConnectorError(detail, user_message=f"{name} refused the call ({response.status}).", code="vendor_refused")


def _applies(rule: ErrorRule, response: Response) -> bool:
    if rule.status and response.status not in rule.status:
        return False
    if rule.text and rule.text.encode() not in response.body:
        return False
    if rule.path:
        try:
            found = look_up(response.json(), rule.path)
        except VendorDataError:
            return False
        return found is not None if rule.equals is None else bool(found == rule.equals)
    return bool(rule.status or rule.text)


def _detail(response: Response) -> str:
    return f"{response.url} answered {response.status}."


def retry_after(headers: Mapping[str, str], at: datetime | None = None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3: seconds or date), 15 minutes at most."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
            seconds = (moment - (at or datetime.now(moment.tzinfo))).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 1.0), LONGEST_PAUSE) if seconds == seconds else None


class Pace:
    """Keeps calls within the declared budget and what the headers say is left."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free_at = 0.0
        self._closed_until = 0.0

    def wait(self) -> None:
        """Wait for the next call's turn; RateLimitedError when the other side has no calls left for longer."""
        left = self._closed_until - time.time()
        if left > 0:
            raise RateLimitedError("The remaining calls are used up.", retry_after=min(left, LONGEST_PAUSE))
        if self._limits.calls:
            gap = self._limits.seconds / self._limits.calls
            at = time.monotonic()
            if self._free_at > at:
                time.sleep(self._free_at - at)
            self._free_at = max(at, self._free_at) + gap

    def note(self, headers: Mapping[str, str]) -> None:
        """Read what an answer says of the remaining calls; garbage is ignored."""
        limits = self._limits
        if not limits.remaining_header or headers.get(limits.remaining_header.lower()) != "0":
            return
        try:
            reset = float(headers.get((limits.reset_header or "").lower(), "1"))
        except ValueError:
            return
        ends = reset if limits.reset_kind == "epoch" else time.time() + reset
        self._closed_until = min(ends, time.time() + LONGEST_PAUSE)


def first(data: Any, path: str) -> list[Any]:
    """Return the list of records at a path; VendorDataError when there is none."""
    found = look_up(data, path)
    if not isinstance(found, list):
        raise VendorDataError(f"There is no list of records at {path or 'the top'} of the answer.")
    return found
