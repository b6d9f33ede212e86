"""A ZIP file that is written piece by piece: what the next piece must know of those before fits into a small state.

A piece is deflated by itself and flushed in full, so that pieces stand one after the other as one stream; sizes and
checksum follow each file (data descriptor), and the directory comes last.
"""

import struct
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_AFTER = struct.Struct("<IIII")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
# Sizes and checksum follow the file; names are UTF-8.
_FLAGS, _DEFLATED, _VERSION = 0x0808, 8, 20
_UNIX, _READABLE = 3 << 8, 0o100644 << 16
# The last block of a deflate stream, with nothing in it.
_LAST_BLOCK = b"\x03\x00"
# Beyond it the form would need 64-bit sizes.
LARGEST = 2**32 - 2**24


class ArchiveFullError(Exception):
    """The archive would become larger than its form allows."""


@dataclass
class Archive:
    """What has been written so far: whole files, the one that is open, and where the next byte stands."""

    at: datetime
    offset: int = 0
    files: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, state: dict[str, Any]) -> "Archive":
        """Return an archive from what `state` has kept."""
        return cls(datetime.fromisoformat(state["at"]), state["offset"], [dict(file) for file in state["files"]])

    @property
    def state(self) -> dict[str, Any]:
        """What `load` needs to go on, as JSON."""
        return {"at": self.at.isoformat(), "offset": self.offset, "files": self.files}

    def begin(self, name: str) -> bytes:
        """Begin a file."""
        self.files.append({"name": name, "offset": self.offset, "crc": 0, "size": 0, "packed": 0})
        path = name.encode()
        head = _LOCAL.pack(0x04034B50, _VERSION, _FLAGS, _DEFLATED, *self._moment, 0, 0, 0, len(path), 0)
        return self._put(head + path)

    def add(self, content: bytes) -> bytes:
        """Add to the file that is open."""
        if not content:
            return b""
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = packer.compress(content) + packer.flush(zlib.Z_FULL_FLUSH)
        file = self.files[-1]
        file["crc"], file["size"] = zlib.crc32(content, file["crc"]), file["size"] + len(content)
        return self._pack(packed)

    def end(self) -> bytes:
        """End the file that is open."""
        last, file = self._pack(_LAST_BLOCK), self.files[-1]
        return last + self._put(_AFTER.pack(0x08074B50, file["crc"], file["packed"], file["size"]))

    def close(self) -> bytes:
        """End the archive: its directory."""
        rows = b"".join(self._row(file) for file in self.files)
        end = _END.pack(0x06054B50, 0, 0, len(self.files), len(self.files), len(rows), self.offset, 0)
        return self._put(rows + end)

    def _row(self, file: dict[str, Any]) -> bytes:
        path: bytes = file["name"].encode()
        row = _CENTRAL.pack(
            0x02014B50, _UNIX | _VERSION, _VERSION, _FLAGS, _DEFLATED, *self._moment, file["crc"], file["packed"],
            file["size"], len(path), 0, 0, 0, 0, _READABLE, file["offset"],
        )  # fmt: skip
        return row + path

    @property
    def _moment(self) -> tuple[int, int]:
        at = self.at
        return at.hour << 11 | at.minute << 5 | at.second // 2, (at.year - 1980) << 9 | at.month << 5 | at.day

    def _pack(self, packed: bytes) -> bytes:
        self.files[-1]["packed"] += len(packed)
        return self._put(packed)

    def _put(self, content: bytes) -> bytes:
        self.offset += len(content)
        if self.offset > LARGEST or self.files[-1]["size"] > LARGEST:
            raise ArchiveFullError
        return content
