"""Arrays in PostgreSQL's binary form, packed in one go: a page sends hundreds of values of one type.

psycopg looks for a dumper for each element of a list; that cost as much as the mapping of the record [measured].
Format: PostgreSQL's array_send: dimensions, null flag, element type, length, lower bound, then each value's length and bytes.
"""

import struct
import uuid
from collections.abc import Sequence

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEAD = struct.Struct("!iiIii")
_LENGTH = struct.Struct("!i").pack
_TEXT, _UUID, _BYTEA = 25, 2950, 17
_OF_UUID = b"\x00\x00\x00\x10"


class TextArray(bytes):
    """A text[] ready to be sent."""


class UuidArray(bytes):
    """A uuid[] ready to be sent."""


class ByteaArray(bytes):
    """A bytea[] ready to be sent."""


def texts(values: Sequence[str] | Sequence[bytes]) -> TextArray:
    """Pack texts, or texts that are all UTF-8 already (JSON just written)."""
    encoded = values if values and isinstance(values[0], bytes) else list(map(str.encode, values))  # type: ignore[arg-type]
    return TextArray(_packed(_TEXT, encoded))  # type: ignore[arg-type]


def blobs(values: Sequence[bytes]) -> ByteaArray:
    """Pack byte strings."""
    return ByteaArray(_packed(_BYTEA, values))


def uuids(values: Sequence[uuid.UUID | bytes]) -> UuidArray:
    """Pack ids, or ids as their 16 bytes."""
    parts = [value if isinstance(value, bytes) else value.bytes for value in values]
    body = _OF_UUID + _OF_UUID.join(parts) if parts else b""
    return UuidArray(_head(_UUID, len(parts)) + body)


def _packed(element: int, values: Sequence[bytes]) -> bytes:
    # Length, value, length, value: without a loop of Python's own.
    parts = [b""] * (2 * len(values))
    parts[0::2], parts[1::2] = list(map(_LENGTH, map(len, values))), values
    return _head(element, len(values)) + b"".join(parts)


def _head(element: int, count: int) -> bytes:
    return _HEAD.pack(1, 0, element, count, 1) if count else _HEAD.pack(0, 0, element, 0, 0)[:12]


class _AsIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        return obj


class _TextDumper(_AsIs):
    oid = 1009


class _UuidDumper(_AsIs):
    oid = 2951


class _ByteaDumper(_AsIs):
    oid = 1001


def register() -> None:
    """Teach psycopg these types; before the first engine is made, because an engine takes a copy of what is known."""
    for kind, dumper in ((TextArray, _TextDumper), (UuidArray, _UuidDumper), (ByteaArray, _ByteaDumper)):
        psycopg.adapters.register_dumper(kind, dumper)
