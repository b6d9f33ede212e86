"""What an answer means: the manifest's error table first, then what the status says everywhere."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.sdk.errors import (
    AuthError,
    ChangedError,
    ConfigError,
    ConnectorError,
    CursorExpiredError,
    RateLimitedError,
    RecordError,
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
    "changed": ChangedError, "skip_record": RecordError,
}  # fmt: skip


def raise_for(manifest: Manifest, response: Response) -> bool:
    """Raise what the answer means; return False when the table says to ignore it, True when it is good."""
    for rule in manifest.errors:
        if _applies(rule, response):
            if rule.means == "ignore":
                return False
            scope = _scope(rule, response)
            raise _MEANINGS[rule.means](
                _detail(response) + (f" Missing: {scope}." if scope else ""),
                user_message=_named(rule.sentence, scope), fix=_named(rule.fix, scope), retry_after=_pause(manifest, response),
            )  # fmt: skip
    if response.status < 300:
        return True
    raise _by_status(manifest, response)


def _by_status(manifest: Manifest, response: Response) -> ConnectorError:
    detail, name, pause = _detail(response), manifest.listing.name, _pause(manifest, response)
    if response.status == 429:
        return RateLimitedError(detail, user_message=f"{name} asks us to slow down.", retry_after=pause)
    if response.status == 401:
        return AuthError(detail, user_message=f"{name} no longer accepts the connection.")
    if response.status == 403:
        return ScopeError(detail, user_message=f"The account connected to {name} may not read this data.")
    if response.status in (408, 425) or response.status >= 500:
        return UnavailableError(detail, user_message=f"{name} cannot be reached at the moment.", retry_after=pause)
    if response.status == 412:
        return ChangedError(detail)
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


def _scope(rule: ErrorRule, response: Response) -> str:
    found = look_up(response.json(), rule.scope_path) if rule.scope_path else None
    texts = found if isinstance(found, list) else [found]
    return ", ".join(str(text)[:200] for text in texts[:10] if text) or rule.scope or ""


def _named(text: str | None, scope: str) -> str:
    return (text or "").replace("{scope}", scope or "one that it does not name")


def _detail(response: Response) -> str:
    return f"{response.url} answered {response.status}."


def _pause(manifest: Manifest, response: Response) -> float | None:
    pause = retry_after(response.headers)
    return pause if pause is not None else used_up(manifest.limits, response.headers, time.time())


def used_up(limits: Limits, headers: Mapping[str, str], at: float) -> float | None:
    """Return the seconds until there are calls again when an answer says that none are left; garbage is ignored."""
    left = headers.get(limits.remaining_header.lower(), "") if limits.remaining_header else ""
    if left.strip() not in ("0", "0.0"):
        return None
    pause = reset_pause(limits, headers.get((limits.reset_header or "").lower(), "1"), at)
    return pause if pause is not None and pause > 0 else None


def reset_pause(limits: Limits, text: str, at: float) -> float | None:
    """Return the seconds until the window of a reset header opens, 15 minutes at most; None for garbage."""
    try:
        if limits.reset_kind == "iso":
            pause = datetime.fromisoformat(text).timestamp() - at
        else:
            number = float(text)
            pause = number if limits.reset_kind == "seconds" else number / _UNITS[limits.reset_kind] - at
    except (ValueError, OverflowError, OSError):
        return None
    return min(pause, LONGEST_PAUSE) if pause == pause else None


_UNITS = {"epoch": 1, "epoch_ms": 1000}


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
            # "-0000" says that the zone is not known: it is read as UTC.
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (moment - (at or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 1.0), LONGEST_PAUSE) if seconds == seconds else None


def first(data: Any, path: str) -> list[Any]:
    """Return the list of records at a path; VendorDataError when there is none."""
    found = look_up(data, path)
    if not isinstance(found, list):
        raise VendorDataError(f"There is no list of records at {path or 'the top'} of the answer.")
    return found
