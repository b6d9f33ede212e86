"""The limiter that all workers share: GCRA in Redis, by Redis's own clock. Redis gone: the caller goes slower by itself."""

import uuid
from contextlib import suppress
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
# Calls under way with the time they end at the latest: a worker that is killed keeps its place no longer than that.
_ENTER = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
redis.call('EXPIRE', KEYS[1], tonumber(ARGV[3]))
return 1
"""
_LONGEST_CALL = 60


class SharedLimiter:
    """The budget of one connection. Implements connectors.sdk.SharedPace."""

    def __init__(self, url: str, connection: str) -> None:
        self._redis = client_of(url)
        self._under_way = f"patchbay:calls:{connection}"
        self._turns, self._closed = f"patchbay:pace:{connection}", f"patchbay:closed:{connection}"

    def take(self, calls: int, seconds: float, budget: str = "") -> float | None:
        """Take a turn of a budget: 0 when it is taken, else seconds to wait; None when Redis is away."""
        gap = seconds / calls
        try:
            return float(self._redis.eval(_TAKE, 1, f"{self._turns}:{budget}", gap, gap * max(calls // 4, 1)))
        except redis.RedisError:
            return None

    def close(self, seconds: float) -> None:
        """Let nobody call for so long."""
        with suppress(redis.RedisError):
            self._redis.set(self._closed, "1", px=max(int(seconds * 1000), 1))

    def enter(self, most: int) -> str | None:
        """Be one of at most so many calls at the same time; None while there are as many. Redis away: one is let in."""
        ticket = uuid.uuid4().hex
        try:
            found = self._redis.eval(_ENTER, 1, self._under_way, most, ticket, _LONGEST_CALL)
            return ticket if found else None
        except redis.RedisError:
            return ticket

    def leave(self, ticket: str) -> None:
        """The call is over."""
        with suppress(redis.RedisError):
            self._redis.zrem(self._under_way, ticket)

    def closed(self) -> float:
        """Return for how many seconds nobody may call."""
        try:
            return max(int(self._redis.pttl(self._closed)), 0) / 1000
        except redis.RedisError:
            return 0.0


@lru_cache(maxsize=4)
def client_of(url: str) -> redis.Redis:
    """Return the connection pool of this process for a Redis."""
    return connect(url)
