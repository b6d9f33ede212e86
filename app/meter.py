"""How many requests a caller has left in this minute, counted in Redis; without Redis nobody is refused."""

import time
from dataclasses import dataclass

import redis

from app.limiter import client_of

WINDOW = 60


@dataclass(frozen=True)
class Reading:
    """What is left of a budget, and the seconds until it is full again. Below zero: refused."""

    limit: int
    left: int
    seconds: int


def count(url: str, caller: str, limit: int) -> Reading:
    """Count a request of a caller and return what is left."""
    at = time.time()
    window, seconds = int(at // WINDOW), WINDOW - int(at % WINDOW)
    name = f"patchbay:meter:{caller}:{window}"
    try:
        with client_of(url).pipeline(transaction=False) as pipe:
            pipe.incr(name)
            pipe.expire(name, WINDOW + 1)
            used = pipe.execute()[0]
    except redis.RedisError:
        return Reading(limit, limit - 1, seconds)
    return Reading(limit, limit - int(used), seconds)
