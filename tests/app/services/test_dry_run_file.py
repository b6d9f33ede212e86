"""A dry run as a CSV file: the figures, the samples and the reasons of its page."""

import csv
import io

from app.services.dry_run_file import content_of

STREAM = {
    "label": "Contacts", "error": None, "into": {"read": 253, "create": 210, "delete": None},
    "there": {"create": 5, "change": 0, "looked_at": 9},
    "samples": {"changed": [{"id": "c1", "title": "Ada", "fields": [
        {"label": "City", "before": None, "after": "=Oslo"}, {"label": "Score", "before": 1, "after": 2}]}]},
    "causes": [{"count": 3, "message": "the value is no address", "samples": [
        {"id": "c9", "title": "Bob", "message": "“x” is no address"}]}],
    "causes_there": [],
}  # fmt: skip


def rows(*streams: object) -> list[dict[str, str]]:
    content = content_of({"streams": list(streams)}, host="Fieldstone", vendor="Kinto")
    note, *found = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert note["what"] == "note"
    assert "samples of the records: a few of each kind, not all" in note["reason"]
    return found


def test_figures_samples_and_reasons_are_rows() -> None:
    found = rows(STREAM)
    assert [(row["where"], row["what"], row["records"]) for row in found if row["records"]] == [
        ("Fieldstone", "read", "253"), ("Fieldstone", "would be created", "210"), ("Kinto", "would be created", "5"),
        ("Kinto", "would change", "0"), ("Fieldstone", "left out", "3"),
    ]  # fmt: skip
    changed = [
        (row["id"], row["field"], row["before"], row["after"]) for row in found if row["what"] == "sample of changed"
    ]
    # A spreadsheet must not calculate a value.
    assert changed == [("c1", "City", "", "'=Oslo"), ("c1", "Score", "1", "2")]
    assert found[-1]["reason"] == "“x” is no address"


def test_a_stream_that_could_not_be_read_says_why() -> None:
    assert rows({**STREAM, "error": "The key is refused."}) == [
        dict.fromkeys(("stream", "where", "what", "records", "id", "record", "field", "before", "after", "reason"), "")
        | {"stream": "Contacts", "where": "Fieldstone", "what": "could not be read", "reason": "The key is refused."}
    ]
