"""The calls of one task to a vendor: whether they may be made, and what they came to, kept for the breakers.

Outcomes are noted where a call is made, be it in the thread that reads ahead, and written by the thread of the task in
a transaction of its own: between its steps once something has happened, and when the task is over.
"""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from app import log
from app.ids import new_id
from app.services import breakers
from app.services.breakers import Key
from app.sync.breaker import Admission, Breaker, Outcome, VendorDownError, outcome_of, record
from app.transaction import in_transaction, transaction
from connectors.sdk import HttpClient, Response, UnavailableError, VendorDataError

_WRITE_EVERY = 2.0
_logger = log.logger(__name__)


@dataclass(frozen=True)
class Vendor:
    """Who is called: its name for people, its host with the port, and the connection, where there is one."""

    name: str = ""
    host: str | None = None
    connection_id: uuid.UUID | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        """The breakers of its calls, that of the host first."""
        host = (Key("host", self.host),) if self.host else ()
        return (*host, Key("connection", str(self.connection_id))) if self.connection_id else host

    def is_down(self, answer: Admission) -> VendorDownError:
        """Return the error that says why no call is made, and when the next one is."""
        pause = f"{round(answer.wait)} s" if answer.wait < 90 else f"{round(answer.wait / 60)} min"
        why = f"{self.name} has not answered several times in a row, so it is not called for a while."
        if answer.over_budget:
            why = f"Many calls to {self.name} have failed, so they are repeated more slowly."
        return VendorDownError(
            f"No call to {self.host}: {'the retry budget is spent' if answer.over_budget else 'its breaker is open'}.",
            user_message=why, fix=f"Nothing is lost. It is called again in about {pause}.", retry_after=answer.wait,
        )  # fmt: skip


class Calls:
    """What this task has called. `holder` is the name under which it holds a probe."""

    def __init__(self) -> None:
        self.holder = new_id()
        self._lock = threading.Lock()
        self._known: dict[Key, Breaker] = {}
        self._news: dict[Key, list[Outcome]] = defaultdict(list)
        self._written_at = time.monotonic()
        self._urgent = False

    def enter(self, vendor: Vendor, *, retry: bool = False, testing: bool = False) -> None:
        """Ask the breakers once before this task's first call, in the caller's transaction; VendorDownError as `wait`.

        `retry` says that the task repeats a call that has failed. A test asks that of the host alone: what is known of
        the connection may be about other settings.
        """
        keys = [key for key in vendor.keys if key.kind == "host" or not testing]
        if not keys or all(key in self._known for key in keys):
            return
        answer, known = breakers.enter(keys, self.holder, retry=retry)
        if not answer.go:
            raise vendor.is_down(answer)
        with self._lock:
            self._known.update(known)

    def check(self, vendor: Vendor) -> None:
        """Raise VendorDownError once the calls of this task, or what it has read since, have opened a breaker."""
        with self._lock:
            shut = [breaker for key in vendor.keys if (breaker := self._known.get(key)) and self._is_shut(breaker)]
        if shut:
            ends = max(breaker.open_until or breaker.probe_until or datetime.now(UTC) for breaker in shut)
            raise vendor.is_down(Admission(False, max((ends - datetime.now(UTC)).total_seconds(), 1.0)))

    def _is_shut(self, breaker: Breaker) -> bool:
        return breaker.state == "open" or (breaker.state == "half_open" and breaker.probe != self.holder)

    def note(self, vendor: Vendor, outcome: Outcome) -> None:
        """Keep what one call has come to. Any thread may."""
        with self._lock:
            for key in vendor.keys:
                before = self._known.get(key, Breaker())
                after = record(before, [outcome], datetime.now(UTC), self.holder, seed=key.key)
                self._known[key] = after
                self._news[key].append(outcome)
                self._urgent |= outcome == "failed" or after.state != before.state

    def write_if_due(self) -> None:
        """Write what has failed or has changed a state at once, successes now and then; for between two steps."""
        if (self._urgent or time.monotonic() - self._written_at > _WRITE_EVERY) and not in_transaction():
            self.write(over=False)

    def write(self, *, over: bool = True) -> None:
        """Write what came of the calls; when the task is `over` its probes are given back."""
        with self._lock:
            news, self._news = self._news, defaultdict(list)
            self._urgent, self._written_at = False, time.monotonic()
            held = [key for key, breaker in self._known.items() if breaker.probe == self.holder]
        for key in held if over else ():
            news.setdefault(key, [])
        if not news:
            return
        try:
            with transaction():
                known = breakers.record_calls(news, self.holder, over=over)
        except SQLAlchemyError as error:
            # The next failure says the same again; what the task itself has to record matters more.
            _logger.warning("breakers not written", error=type(error).__name__)
            return
        with self._lock:
            self._known.update(known)


_current: ContextVar[Calls | None] = ContextVar("patchbay_calls", default=None)


def current() -> Calls:
    """Return the calls of the task this thread works on."""
    return _current.get() or Calls()


@contextmanager
def recorded() -> Iterator[None]:
    """Collect the calls of one task, and write what is left of them at its end."""
    calls = Calls()
    mark = _current.set(calls)
    try:
        yield
    finally:
        _current.reset(mark)
        calls.write()


@dataclass
class MeteredClient(HttpClient):
    """The egress guard, with each call checked against and noted for the breakers of its vendor."""

    vendor: Vendor = field(default_factory=Vendor)
    calls: Calls = field(default_factory=current)

    def request(self, method: str, url: str, **more: Any) -> Response:
        """Send one request as HttpClient does; VendorDownError when it is not sent, or when it was the last for now."""
        self.calls.check(self.vendor)
        try:
            response = super().request(method, url, **more)
        except UnavailableError:
            self._note("failed")
            raise
        except VendorDataError:
            self._note("answered")
            raise
        self._note(outcome_of(response.status))
        return response

    def _note(self, outcome: Outcome) -> None:
        self.calls.note(self.vendor, outcome)
        if outcome == "failed":
            try:
                self.calls.check(self.vendor)
            except VendorDownError as error:
                error.sent = True
                raise
