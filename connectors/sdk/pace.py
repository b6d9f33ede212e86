"""Keeping to what the other side allows: the declared budget, shared by all workers, and what its headers say."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from connectors.sdk.answers import LONGEST_PAUSE, used_up
from connectors.sdk.errors import RateLimitedError
from connectors.sdk.schema.operations import Limits

# Without the shared limiter each worker keeps to a quarter of the budget: slower, never unlimited.
_ALONE = 4
_LONGEST_WAIT = 10.0
_ROOM_SECONDS = 0.05


class SharedPace(Protocol):
    """A limiter that all workers share for one connection."""

    def take(self, calls: int, seconds: float, budget: str = "") -> float | None:
        """Take a turn of a budget: 0 when it is taken, else seconds to wait; None when the limiter is away."""

    def close(self, seconds: float) -> None:
        """Let nobody call for so long."""

    def closed(self) -> float:
        """Return for how many seconds nobody may call."""

    def enter(self, most: int) -> str | None:
        """Be one of at most so many calls at the same time; None while there are as many, or the limiter is away."""

    def leave(self, ticket: str) -> None:
        """The call is over."""


class Pace:
    """What one session waits for before each call."""

    def __init__(
        self, limits: Limits, shared: SharedPace | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._limits, self._shared, self._sleep = limits, shared, sleep
        self._free_at: dict[str, float] = {}
        self._closed_until = 0.0

    @contextmanager
    def turn(self, path: str = "") -> Iterator[None]:
        """Wait for the turn of a call to `path` and for room among the calls under way; RateLimitedError as `wait`."""
        self.wait(path)
        most, ticket = self._limits.concurrency, None
        if most and self._shared:
            waited = 0.0
            while (ticket := self._shared.enter(most)) is None and waited < _LONGEST_WAIT:
                self._sleep(_ROOM_SECONDS)
                waited += _ROOM_SECONDS
            if ticket is None:
                raise RateLimitedError("Too many calls are under way.", retry_after=5.0)
        try:
            yield
        finally:
            if ticket and self._shared:
                self._shared.leave(ticket)

    def wait(self, path: str = "") -> None:
        """Wait for the next call's turn; RateLimitedError when the other side has no calls left for longer."""
        # Asked only where headers can close the window: the question is a call of its own.
        told = self._shared and (self._limits.remaining_header or self._limits.reset_header)
        closed = max(self._closed_until - time.time(), self._shared.closed() if self._shared and told else 0.0)
        if closed > 0:
            raise RateLimitedError("The remaining calls are used up.", retry_after=min(closed, LONGEST_PAUSE))
        for budget in self._limits.budgets:
            if budget.paths in path:
                self._wait_for(budget.calls, budget.seconds, budget.paths)
        if self._limits.calls:
            self._wait_for(self._limits.calls, self._limits.seconds, "")

    def _wait_for(self, calls: int, seconds: float, budget: str) -> None:
        waited = 0.0
        while self._shared is not None:
            pause = self._shared.take(calls, seconds, budget)
            if pause is None:
                break
            if pause <= 0:
                return
            if waited + pause > _LONGEST_WAIT:
                raise RateLimitedError("The budget of calls is used up.", retry_after=min(pause, LONGEST_PAUSE))
            self._sleep(pause)
            waited += pause
        gap = seconds / calls * (_ALONE if self._shared else 1)
        at, free_at = time.monotonic(), self._free_at.get(budget, 0.0)
        if free_at > at:
            self._sleep(free_at - at)
        self._free_at[budget] = max(at, free_at) + gap

    def note(self, headers: Mapping[str, str], status: int = 200) -> None:
        """Read what an answer says of the remaining calls; garbage is ignored."""
        pause = used_up(self._limits, headers, time.time())
        if pause is None:
            return
        self._closed_until = time.time() + pause
        if self._shared:
            self._shared.close(pause)
