"""How contents are told apart."""

import hashlib
from typing import Any

import orjson


def digest(data: Any) -> bytes:
    """Return 16 bytes that differ when `data` (JSON) differs; key order does not matter."""
    return digested(data)[1]


def digested(data: Any) -> tuple[bytes, bytes]:
    """Return `data` as the bytes of its JSON, and their digest."""
    raw = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    return raw, hashlib.blake2b(raw, digest_size=16).digest()
