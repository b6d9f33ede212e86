"""A dry run as one CSV file: its figures, the samples it keeps, and why records are left out."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.services.export_files import csv_of

_COLUMNS = ("stream", "where", "what", "records", "id", "record", "field", "before", "after", "reason")
_INTO = {
    "read": "read", "create": "would be created", "link": "would be matched with a record that is there already", "change": "would change",
    "unchanged": "stay as they are", "conflict": "would be conflicts", "left_out": "would be left out",
    "delete": "would be deleted",
}  # fmt: skip
_THERE = {
    "create": "would be created",
    "change": "would change",
    "delete": "would be deleted",
    "left_out": "would be left out",
}
_SAMPLES = {"created": "sample of created", "changed": "sample of changed"}
_NOTE = "This file holds the figures of the dry run and samples of the records: a few of each kind, not all."
Row = dict[str, Any]


def content_of(result: Mapping[str, Any], *, host: str, vendor: str) -> bytes:
    """Return the file of a dry run that is ready; where it has read a part, the figures are of that part."""
    rows = [row for stream in result["streams"] for row in _stream(stream, host, vendor)]
    return csv_of(_COLUMNS, [{"what": "note", "reason": _NOTE}, *rows])


def _stream(stream: Mapping[str, Any], host: str, vendor: str) -> Iterator[Row]:
    base = {"stream": stream["label"], "where": host}
    if stream["error"]:
        yield {**base, "what": "could not be read", "reason": stream["error"]}
        return
    for kinds, counts, where in ((_INTO, stream["into"], host), (_THERE, stream["there"] or {}, vendor)):
        for kind, words in kinds.items():
            if counts.get(kind) is not None:
                yield {**base, "where": where, "what": words, "records": counts[kind]}
    for kind, words in _SAMPLES.items():
        for sample in stream["samples"].get(kind, ()):
            for item in sample["fields"]:
                yield {
                    **base, "what": words, "id": sample["id"], "record": sample["title"], "field": item["label"],
                    "before": item["before"], "after": item["after"],
                }  # fmt: skip
    for causes, where in ((stream["causes"], host), (stream["causes_there"], vendor)):
        for cause in causes:
            yield {**base, "where": where, "what": "left out", "records": cause["count"], "reason": cause["message"]}
            for sample in cause["samples"]:
                yield {
                    **base, "where": where, "what": "sample of left out", "id": sample["id"], "record": sample["title"],
                    "reason": sample["message"],
                }  # fmt: skip
