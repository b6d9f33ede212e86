"""What an answer means: the manifest's error table first, then what the status says everywhere."""

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
from connectors.sdk.manifest import ErrorRule, Manifest

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
            raise _MEANINGS[rule.means](
                _detail(response) + (f" Missing: {rule.scope}." if rule.scope else ""),
                user_message=rule.sentence or "", fix=rule.fix or "", retry_after=retry_after(response.headers),
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
