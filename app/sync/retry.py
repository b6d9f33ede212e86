"""What a connector's error means for the run: wait, try again, start the pass anew, stop until a person acts, or fail."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from app.sync.breaker import VendorDownError
from connectors.sdk.errors import (
    AuthError,
    ConfigError,
    ConnectorError,
    CursorExpiredError,
    RateLimitedError,
    RetryableError,
    ScopeError,
)

MAX_TRIES = 5
WARN_AFTER = 5
PAUSE_AFTER = 10
# A vendor's outage is no fault of the customer's, so a run waits for its end; one that lasts longer than this fails.
LONGEST_OUTAGE = timedelta(days=1)
_DELAYS = (5.0, 30.0, 120.0, 600.0, 1800.0)
_LONGEST_WAIT = 900.0


@dataclass(frozen=True)
class Decision:
    """`kind`: wait (not the vendor's fault nor ours), again (counted), restart (full pass), block, fail."""

    kind: Literal["wait", "again", "restart", "block", "fail"]
    code: str
    delay: float = 0.0


def decide(error: ConnectorError, tries: int, *, age: timedelta = timedelta(0)) -> Decision:
    """Decide on `error` after `tries` counted failures in a row of this run, which began `age` ago.

    A rate limit is never counted, nor a wait for a vendor that is down.
    """
    match error:
        case VendorDownError() if age < LONGEST_OUTAGE:
            return Decision("wait", "vendor_down", min(error.retry_after or 60.0, 2 * _LONGEST_WAIT))
        case RateLimitedError():
            return Decision("wait", "rate_limited", min(error.retry_after or 60.0, _LONGEST_WAIT))
        case CursorExpiredError():
            return Decision("restart", "cursor_expired")
        case AuthError():
            return Decision("block", "reconnect")
        case ScopeError():
            return Decision("block", "permission_missing")
        case ConfigError():
            return Decision("block", "settings_wrong")
        case RetryableError() if tries < MAX_TRIES:
            delay = max(error.retry_after or 0.0, _DELAYS[min(tries, len(_DELAYS) - 1)])
            return Decision("again", error.code, min(delay, 2 * _LONGEST_WAIT))
        case _:
            return Decision("fail", error.code)


RECORD_DELAYS = (60.0, 600.0, 3600.0)


def record_delay(tries: int) -> float | None:
    """Return the seconds until a failed record is tried alone again, None when it is parked."""
    return RECORD_DELAYS[tries - 1] if tries <= len(RECORD_DELAYS) else None
