"""The limiter that all workers share: GCRA in Redis, by Redis's own clock. Redis gone: the caller goes slower by itself."""

from functools import lru_cache

import redis

from app.queue import connect

# The theoretical arrival time of the next call (GCRA, ITU-T I.371): one number a connection. A quarter of the budget
# may be used at once; the rest is spread over the window.
_TAKE = """
local now = redis.call('TIME')
local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local gap, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), at)
local early = due - burst - at
if early > 0 then return tostring(early) end
redis.call('SET', KEYS[1], string.format('%.6f', due + gap), 'PX', math.ceil((due + gap - at) * 1000) + 1000)
return '0'
"""


class SharedLimiter:
    """The budget of one connection. Implements connectors.sdk.SharedPace."""

    def __init__(self, url: str, connection: str) -> None:
        self._redis = _client(url)
        self._turns, self._closed = f"patchbay:pace:{connection}", f"patchbay:closed:{connection}"

    def take(self, calls: int, seconds: float) -> float | None:
        """Take a turn: 0 when it is taken, else seconds to wait; None when Redis is away."""
        gap = seconds / calls
        try:
            return float(self._redis.eval(_TAKE, 1, self._turns, gap, gap * max(calls // 4, 1)))
        except redis.RedisError:
            return None

    def close(self, seconds: float) -> None:
        """Let nobody call for so long."""
        try:
            self._redis.set(self._closed, "1", px=max(int(seconds * 1000), 1))
        except redis.RedisError:
            return

    def closed(self) -> float:
        """Return for how many seconds nobody may call."""
        try:
            return max(int(self._redis.pttl(self._closed)), 0) / 1000
        except redis.RedisError:
            return 0.0


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return connect(url)
