"""One budget for all workers; without Redis each goes slower, never unlimited."""

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.limiter import SharedLimiter
from connectors.sdk import Pace, RateLimitedError
from connectors.sdk.schema.operations import Limits


def test_eight_workers_share_one_budget(environment: dict[str, str], clean: None) -> None:
    """40 calls a second over eight takers: at most the burst and what a second brings. Red with a budget each."""
    ends = time.monotonic() + 1.0

    def take(_number: int) -> int:
        limiter, taken = SharedLimiter(environment["REDIS_URL"], "one"), 0
        while time.monotonic() < ends:
            taken += limiter.take(40, 1.0) == 0
        return taken

    with ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(take, range(8)))
    print(f"\nCALLS {total} of 40/s in 1 s")
    assert 30 <= total <= 40 + 40 // 4 + 2


def test_other_connections_have_their_own(environment: dict[str, str], clean: None) -> None:
    one, two = (SharedLimiter(environment["REDIS_URL"], name) for name in ("one", "two"))
    while one.take(1, 60) == 0:
        pass
    assert two.take(1, 60) == 0


def test_a_closed_window_is_closed_for_all(environment: dict[str, str], clean: None) -> None:
    limits = Limits(remaining_header="x-left", reset_header="x-reset", reset_kind="seconds")
    one, two = (Pace(limits, SharedLimiter(environment["REDIS_URL"], "c")) for _ in range(2))
    two.wait()
    one.note({"x-left": "0", "x-reset": "30"})
    with pytest.raises(RateLimitedError) as caught:
        two.wait()
    assert 25 < (caught.value.retry_after or 0) <= 30


def test_without_redis_it_is_slower_and_never_unlimited() -> None:
    slept: list[float] = []
    pace = Pace(Limits(calls=10, seconds=1), SharedLimiter("redis://127.0.0.1:1/0", "c"), sleep=slept.append)
    for _ in range(5):
        pace.wait()
    assert len(slept) == 4
    assert all(0.2 < pause <= 1.6 for pause in slept)


def test_at_most_so_many_calls_at_once(environment: dict[str, str], clean: None) -> None:
    """Six callers, two places. Red without the places: six at once."""
    under_way, most = [0], [0]
    lock = threading.Lock()

    def call(_number: int) -> None:
        with Pace(Limits(concurrency=2), SharedLimiter(environment["REDIS_URL"], "n")).turn():
            with lock:
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            time.sleep(0.05)
            with lock:
                under_way[0] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(call, range(12)))
    assert most[0] == 2


def test_a_smaller_budget_for_some_calls(environment: dict[str, str], clean: None) -> None:
    slept: list[float] = []
    limits = Limits.model_validate({"calls": 1000, "budgets": [{"paths": "/search", "calls": 2, "seconds": 10}]})
    pace = Pace(limits, SharedLimiter(environment["REDIS_URL"], "b"), sleep=slept.append)
    for _ in range(5):
        pace.wait("/objects/contacts")
    assert not slept
    with pytest.raises(RateLimitedError):
        deque((pace.wait("/objects/contacts/search") for _ in range(50)), maxlen=0)
