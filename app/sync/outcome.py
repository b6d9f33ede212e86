"""What a run has come to when its streams are over: pure. Reading nothing because nothing may be read is no success."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How one stream of a run has ended; `code` is None unless it has failed, the sentences are for the customer."""

    stream: str
    code: str | None = None
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """`kind`: done, incomplete (done, but for the `failed` streams), failed (not one stream could be read)."""

    kind: Literal["done", "incomplete", "failed"]
    failed: tuple[StreamEnd, ...] = ()


def end_of(streams: Iterable[StreamEnd]) -> RunEnd:
    """Decide what a run whose streams have ended like this has come to."""
    ends = tuple(streams)
    failed = tuple(end for end in ends if end.code is not None)
    if not failed:
        return RunEnd("done")
    return RunEnd("failed" if len(failed) == len(ends) else "incomplete", failed)
