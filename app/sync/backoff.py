"""How long to wait before the next try."""

import hashlib

FIRST = 2.0
LONGEST = 900.0


def backoff(attempts: int, *, seed: str) -> float:
    """Return seconds after `attempts` failed tries: doubling from 2 s to 15 min, half of it spread by `seed`."""
    ceiling = min(FIRST * 2 ** max(attempts - 1, 0), LONGEST)
    return float(ceiling * (0.5 + 0.5 * share(f"{seed}:{attempts}")))


def share(seed: str) -> float:
    """Return a number from 0 to 1 that is always the same for `seed`: waits are spread by it, and can be tested."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4], "big") / 2**32
