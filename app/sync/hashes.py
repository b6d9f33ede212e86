"""How contents are told apart."""

import hashlib
from typing import Any

import orjson


def digest(data: Any) -> bytes:
    """Return 16 bytes that differ when `data` (JSON) differs; key order does not matter."""
    return hashlib.blake2b(orjson.dumps(data, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
