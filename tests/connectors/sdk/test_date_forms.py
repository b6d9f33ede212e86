"""Forms of dates: the fast way to read one says what the slow way says."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sdk.date_forms import DateForm, iso, read_iso
from tests.connectors.sdk.generated import FIXED

FORMS = (
    "YYYY-MM-DD",
    "DD/MM/YYYY",
    "MM DD YYYY",
    "YYYYMMDD",
    "D DD.MM.YYYY",
    "100% MM-DD-YYYY",
    "(DD) MM, YYYY",
    "YYYYDD MM",
)
DIGITS = st.text("0123456789 ٣W-", min_size=1, max_size=4)


def outcome(read: object, text: str) -> str:
    """Return what is read or said of a text."""
    try:
        return str(read(text))  # type: ignore[operator]
    except ValueError as error:
        return f"refused: {error}"


@FIXED
@given(st.sampled_from(FORMS), st.dates(), st.lists(DIGITS, min_size=3, max_size=3), st.booleans())
def test_the_fast_way_reads_what_the_slow_way_reads(form: str, day: datetime, parts: list[str], whole: bool) -> None:
    ready = DateForm({"format": form})
    text = ready.write(datetime(day.year, day.month, day.day))
    if not whole:
        text = text.replace(f"{day.year:04}", parts[0]).replace(f"{day.month:02}", parts[1], 1)
    for tried in (text, text.lower(), f"{text} ", parts[0]):
        assert outcome(ready.reader(), tried) == outcome(ready.read, tried)
    if whole:
        assert ready.reader()(text) == day.isoformat()


@pytest.mark.parametrize(
    "text", ["24.11.2026", "24/11-2026", "2026/11/24", "24/11/202", "24/11/2026/", "31/02/2026", "2a/11/2026"]
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a date of the form DD/MM/YYYY"):
        DateForm({"format": "DD/MM/YYYY"}).reader()(text)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-24", "2026-11-24T00:00:00Z"), (" 2026-11-24T09:30:00+01:00", "2026-11-24T08:30:00Z"), ("2026-11-24T09:30", "2026-11-24T09:30:00Z"),
    ],
)  # fmt: skip
def test_an_iso_date_is_a_moment(value: str, moment: str) -> None:
    assert iso(read_iso(value)) == moment


def test_only_whole_forms_can_be_written_back() -> None:
    whole = [
        form
        for form in ("YYYY-MM-DD", "epoch_s", "DD.MM.YYYY hh:mm", "DD.MM.", "hh:mm", "YYYY-MM")
        if DateForm({"format": form}).whole
    ]
    assert whole == ["YYYY-MM-DD", "epoch_s", "DD.MM.YYYY hh:mm"]
