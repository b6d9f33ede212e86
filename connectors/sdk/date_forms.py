"""Dates as people write them: forms made of YYYY MM DD hh mm ss, read and written."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPOCHS = ("epoch_s", "epoch_ms")
_TOKENS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}
_TOKEN = re.compile("|".join(_TOKENS))
_START = datetime(1970, 1, 1, tzinfo=UTC)


class DateForm:
    """A form and its time zone; ValueError for a form that names a part twice and for a zone nobody knows."""

    def __init__(self, args: Mapping[str, Any]) -> None:
        given, zone = args.get("format"), args.get("zone")
        if isinstance(given, dict | list) or isinstance(zone, dict | list):
            raise ValueError("is a structure, not a text")
        self.given = str(given or "YYYY-MM-DD")
        self.epoch = self.given in EPOCHS
        self.timed = self.epoch or "hh" in self.given
        tokens = _TOKEN.findall(self.given)
        if len(set(tokens)) < len(tokens):
            raise ValueError(f"{self.given} names a part of the date twice")
        # A form that leaves a part of the date open reads many dates as the same, so it cannot be written back.
        self.whole = self.epoch or {"YYYY", "MM", "DD"} <= set(tokens)
        self.zone = _zone(str(zone or "UTC"))
        self._pattern = _TOKEN.sub(lambda token: _TOKENS[token[0]], self.given.replace("%", "%%"))

    def read(self, text: str) -> str:
        """Return the ISO form, a time in UTC; ValueError when the text is no date of this form."""
        try:
            if self.epoch:
                unit = "milliseconds" if self.given == "epoch_ms" else "seconds"
                moment = _START + timedelta(**{unit: float(text)})
            elif self.timed:
                moment = self._parse(text).replace(tzinfo=self.zone).astimezone(UTC)
            else:
                return self._parse(text).date().isoformat()
        except (ValueError, OverflowError):
            raise ValueError(f"is not a date of the form {self.given}") from None
        return iso(moment)

    def reader(self) -> Callable[[str], str]:
        """Return the fastest function that does what `read` does."""
        places = {token[0]: slice(*token.span()) for token in _TOKEN.finditer(self.given)}
        taken = {at for place in places.values() for at in range(place.start, place.stop)}
        signs = [at for at in range(len(self.given)) if at not in taken]
        if self.timed or not self.whole or not signs:
            return self.read
        year, month, day = (places[part] for part in ("YYYY", "MM", "DD"))
        width, between, read, parse = len(self.given), itemgetter(*signs), self.read, date.fromisoformat
        expected = between(self.given)

        def read_day(text: str) -> str:
            # Many times faster than strptime, and what nearly every value is: all digits written out.
            if len(text) == width and between(text) == expected:
                try:
                    return parse(f"{text[year]}-{text[month]}-{text[day]}").isoformat()
                except ValueError:
                    pass  # what strptime makes of it decides
            return read(text)

        return read_day

    def _parse(self, text: str) -> datetime:
        return datetime.strptime(text, self._pattern)  # noqa: DTZ007  # the caller knows the zone

    def read_local(self, text: str) -> datetime:
        """Return the moment of a text in the form's zone; ValueError when it is none, or in an hour that is skipped."""
        try:
            moment = self._parse(text).replace(tzinfo=self.zone)
            again = moment.astimezone(UTC).astimezone(self.zone)
        except (ValueError, OverflowError):
            raise ValueError(f"is not a date of the form {self.given}") from None
        if again.replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise ValueError("falls into an hour that the clocks skip")
        return moment

    def write(self, moment: datetime) -> str:
        """Return a moment as text, in the wall clock it has."""
        parts = (f"{moment.year:04}", *(f"{part:02}" for part in moment.timetuple()[1:6]))
        written = dict(zip(_TOKENS, parts, strict=True))
        return _TOKEN.sub(lambda token: written[token[0]], self.given)

    def write_utc(self, value: str) -> str | int | float:
        """Return what reads as this ISO date or time; ValueError when there is no such text."""
        moment = read_iso(value)
        if self.epoch:
            since = (moment - _START) // timedelta(microseconds=1)
            unit = 1000 if self.given == "epoch_ms" else 1_000_000
            return since / unit if since % unit else since // unit
        if not self.timed:
            return self.write(moment)
        local = moment.astimezone(self.zone)
        if local.fold:
            raise ValueError("falls into an hour that the clocks repeat")
        return self.write(local)


def read_iso(value: Any) -> datetime:
    """Return the moment of an ISO date or time in UTC; ValueError when it is none."""
    try:
        moment = datetime.fromisoformat(str(value).strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a date") from None


def iso(moment: datetime) -> str:
    """Return a moment in UTC as ISO text that ends in Z."""
    return moment.isoformat().replace("+00:00", "Z")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name} is not a time zone such as Europe/London") from None
