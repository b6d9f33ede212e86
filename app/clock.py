"""The time, as aware UTC; tests replace it."""

from collections.abc import Callable
from datetime import UTC, datetime

_source: Callable[[], datetime] | None = None


def now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return _source() if _source else datetime.now(UTC)


def replace_source(source: Callable[[], datetime] | None) -> None:
    """Make `now()` answer from `source`; None restores the machine's clock."""
    global _source
    _source = source
