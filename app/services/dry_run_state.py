"""Where a dry run stands: kept with its preview, so that another worker can go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.services.dry_run_tally import Tally
from app.sync.dry_run import Memory


@dataclass
class StreamState:
    """One stream. `state`: waiting, reading, read, done or failed. `ended`: all, records or time, once it is read."""

    stream: str
    label: str
    object_type: str
    state: str = "waiting"
    checkpoint: dict[str, Any] | None = None
    ended: str = ""
    total: int | None = None
    seconds: float = 0.0
    error: str | None = None
    error_fix: str = ""
    tally: Tally = field(default_factory=Tally)

    @property
    def read(self) -> int:
        """How many records have been read."""
        return self.tally.counts.read

    @property
    def known_total(self) -> int | None:
        """How many records there are; None where the budget has ended first and the vendor does not say."""
        if self.ended == "all":
            return self.read
        return max(self.total, self.read) if self.total is not None else None

    @property
    def factor(self) -> float | None:
        """How many times as many records there are as were read; None where nobody knows."""
        if self.ended == "all":
            return 1.0
        total = self.known_total
        return total / self.read if total and self.read else None

    def start_again(self) -> None:
        """Forget what has been read."""
        self.state, self.checkpoint, self.ended, self.tally = "waiting", None, "", Tally()


@dataclass
class State:
    """All streams in their order, what the run would have written by now, and failed tries in a row."""

    streams: list[StreamState]
    memory: Memory = field(default_factory=Memory)
    tries: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        streams = [{**vars(stream), "tally": stream.tally.to_json()} for stream in self.streams]
        return {"streams": streams, "memory": self.memory.to_json(), "tries": self.tries}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "State":
        """Return it from JSON."""
        streams = [StreamState(**{**row, "tally": Tally.from_json(row["tally"])}) for row in data["streams"]]
        return cls(streams, Memory.from_json(data["memory"]), data["tries"])

    def progress(self, limit: int) -> list[dict[str, Any]]:
        """Return what the page shows meanwhile; of each stream `limit` records are read at most."""
        return [
            {
                "label": s.label, "read": s.read, "total": s.known_total, "goal": min(s.known_total or limit, limit),
                "state": "done" if s.state == "read" else s.state,
            }
            for s in self.streams
        ]  # fmt: skip

    def seconds_before(self, stream: StreamState) -> float:
        """Return how long the calls of the streams before one have taken."""
        return sum(other.seconds for other in self.streams[: self.streams.index(stream)])

    def streams_left(self, stream: StreamState) -> int:
        """Return how many streams there are from this one on."""
        return len(self.streams) - self.streams.index(stream)

    def types_after(self, stream: StreamState) -> set[str]:
        """Return the object types of the streams that come after one."""
        return {other.object_type for other in self.streams[self.streams.index(stream) + 1 :]}
