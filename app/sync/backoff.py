"""How long to wait before the next try."""

import hashlib

FIRST = 2.0
LONGEST = 900.0


def backoff(attempts: int, *, seed: str) -> float:
    """Return seconds after `attempts` failed tries: doubling from 2 s to 15 min, half of it spread by `seed`."""
    ceiling = min(FIRST * 2 ** max(attempts - 1, 0), LONGEST)
    share = int.from_bytes(hashlib.sha256(f"{seed}:{attempts}".encode()).digest()[:4], "big") / 2**32
    return float(ceiling * (0.5 + 0.5 * share))
