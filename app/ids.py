"""Identifiers: UUIDv7, so that rows made together lie together in an index (RFC 9562, section 5.7)."""

import os
import struct
import threading
import time
import uuid
from datetime import datetime

_lock = threading.Lock()
_last = 0
_PACK = struct.Struct("!QQ").pack


def new_id() -> uuid.UUID:
    """Return a UUIDv7; ids made in one process are strictly increasing."""
    return new_ids(1)[0]


def first_at(moment: datetime) -> uuid.UUID:
    """Return the smallest UUIDv7 of a moment: rows with smaller ids are older."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0x2 << 62)


def new_ids(count: int) -> list[uuid.UUID]:
    """Return `count` increasing UUIDv7 made in one go."""
    return [uuid.UUID(bytes=raw) for raw in raw_ids(count)]


def raw_ids(count: int) -> list[bytes]:
    """Return `count` increasing UUIDv7 as their 16 bytes; the page transaction takes hundreds at a time."""
    global _last
    # 48 bits of milliseconds and 12 bits of sub-millisecond counter, as RFC 9562 section 6.2 (method 3) allows.
    with _lock:
        first = max((time.time_ns() << 12) // 1_000_000, _last + 1)
        _last = first + count - 1
    tails = struct.unpack(f"!{count}Q", os.urandom(8 * count))
    return [
        _PACK((stamp >> 12) << 16 | 0x7000 | (stamp & 0xFFF), tail & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000)
        for stamp, tail in zip(range(first, first + count), tails, strict=True)
    ]
