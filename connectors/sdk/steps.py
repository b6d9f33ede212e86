"""What each transform does to a value on its way in: pure and bounded. No expressions, no regex of the customer."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from connectors.sdk.date_forms import DateForm
from connectors.sdk.fields import LONGEST

Step = Callable[[Any], Any]


def text_of(value: Any) -> str:
    """Return a value as text; ValueError for a structure."""
    if isinstance(value, dict | list):
        raise ValueError("is a structure, not a text")
    return value if isinstance(value, str) else str(value)


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"would be longer than {LONGEST:,} characters")
    return text


def word(args: Mapping[str, Any], name: str, otherwise: str = "") -> str:
    """Return an argument as text; ValueError for a structure."""
    value = args.get(name)
    return otherwise if value is None else text_of(value)


def trim(_args: Mapping[str, Any]) -> Step:
    """Take away spaces at both ends; what is no text stays."""
    return lambda value: value.strip() if isinstance(value, str) else value


def case(args: Mapping[str, Any]) -> Step:
    """Write the text in the case of `to`."""
    turn = {"lower": str.lower, "upper": str.upper, "title": str.title}[args["to"]]
    return lambda value: turn(text_of(value))


def concat(args: Mapping[str, Any]) -> Step:
    """Join a list of values, empty ones left out; None when all are."""
    separator = word(args, "separator", " ")

    def join(values: Any) -> Any:
        parts = [
            value if type(value) is str else text_of(value) for value in values if value is not None and value != ""
        ]
        return _bounded(separator.join(parts)) if parts else None

    return join


def coalesce(_args: Mapping[str, Any]) -> Step:
    """Take the first of a list of values that is not empty."""
    return lambda values: next((value for value in values if value not in (None, "", [])), None)


def split(args: Mapping[str, Any]) -> Step:
    """Cut at the separator and take the part of that index, None when there is none."""
    separator, index = word(args, "separator") or " ", int(args.get("index", 0))

    def part(value: Any) -> Any:
        parts = text_of(value).split(separator)
        return parts[index].strip() if -len(parts) <= index < len(parts) else None

    return part


def replace(args: Mapping[str, Any]) -> Step:
    """Replace a piece of text wherever it stands; never longer than a field may be."""
    old, new = word(args, "old"), word(args, "new")
    if not old:
        raise ValueError("there is nothing to replace")

    def change(value: Any) -> str:
        text = text_of(value)
        if len(text) + text.count(old) * (len(new) - len(old)) > LONGEST:
            raise ValueError(f"would be longer than {LONGEST:,} characters")
        return text.replace(old, new)

    return change


def substring(args: Mapping[str, Any]) -> Step:
    """Take `length` characters from `start` on."""
    start, length = int(args.get("start", 0)), args.get("length")
    end = None if length in (None, "") else start + int(str(length))
    if end is not None and end < start:
        raise ValueError("the number of characters is negative")
    if start < 0 and end is not None and end >= 0:
        end = None
    return lambda value: text_of(value)[start:end]


def number(args: Mapping[str, Any]) -> Step:
    """Read a number with that decimal sign, a unit on either side aside."""
    decimal = args.get("decimal") or "."
    form = _number_form(decimal, "," if decimal == "." else ".")
    # Takes away what stands between digits and leaves a point where the decimal sign is.
    bare = str.maketrans({**dict.fromkeys(",. \u00a0\u202f'’"), decimal: "."})

    def parse(value: Any) -> Any:
        if type(value) is str and len(value) < 16 and value.isdigit() and value.isascii():
            return int(value)
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else read(text_of(value))
        if abs(number) > 1e18 or not math.isfinite(number):
            raise ValueError("is not a number")
        return int(number) if isinstance(number, float) and number.is_integer() else number

    def read(text: str) -> int | float:
        whole, _, part = text.partition(decimal)
        if len(text) < 16 and whole.isdigit() and (part or "0").isdigit() and text.isascii():
            return float(f"{whole}.{part}")
        text = text.strip().replace("\u2212", "-")
        found = form.fullmatch(text) if len(text) <= 64 else None
        if found is None or (found["before"] and found["sign"]):
            raise ValueError("is not a number")
        digits = found["digits"].translate(bare)
        sign = -1 if "-" in (found["before"], found["sign"]) else 1
        return sign * (int(digits) if digits.isdigit() else float(digits))

    return parse


def _number_form(decimal: str, thousands: str) -> re.Pattern[str]:
    # A currency sign or a unit of up to three letters may stand on either side; whatever else is there is no number.
    unit = r"(?:[^\W\d_]{1,3}\.?)?[^\w\s.,:/()+*;=<>-]?"
    d, between = re.escape(decimal), rf"[{thousands} \u00a0\u202f'’]"
    whole = rf"(?:[0-9]{{1,3}}(?:{between}[0-9]{{2,3}})*{between}[0-9]{{3}}|[0-9]+)"
    digits = rf"(?P<digits>(?:{whole}(?:{d}[0-9]*)?|{d}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?)"
    return re.compile(rf"(?P<before>[+-]?)\s*{unit}\s*(?P<sign>[+-]?)\s*{digits}\s*{unit}")


# ISO 4217; ISK and UGX are counted in hundredths by those who send minor units, so they are not among these.
_NO_MINOR = {
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF",
}  # fmt: skip
_THOUSANDTHS = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"}


def minor_units(_args: Mapping[str, Any]) -> Step:
    """Turn a number of minor units into an amount; the second value is the currency."""

    def amount(values: Any) -> Any:
        number, currency = (*values, None, None)[:2]
        if number is None:
            return None
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= 1e18:
            raise ValueError("is not a number of minor units")
        code = str(currency or "").upper()
        value = number / (1 if code in _NO_MINOR else 1000 if code in _THOUSANDTHS else 100)
        return int(value) if value == int(value) else value

    return amount


def yes_and_no(args: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the words that stand for yes and those for no."""
    yes, no = str(args.get("yes") or "yes,true,1,on"), str(args.get("no") or "no,false,0,off")
    return yes.split(","), no.split(",")


def boolean(args: Mapping[str, Any]) -> Step:
    """Read yes or no by their words."""
    yes, no = yes_and_no(args)
    known = {word.strip().casefold(): False for word in no} | {word.strip().casefold(): True for word in yes}

    def parse(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        found = known.get(text_of(value).strip().casefold())
        if found is not None:
            return found
        raise ValueError("is neither yes nor no")

    return parse


def date_parse(args: Mapping[str, Any]) -> Step:
    """Read a date or time of a form; ISO comes out."""
    read = DateForm(args).reader()
    return lambda value: read(text_of(value).strip())


def date_format(args: Mapping[str, Any]) -> Step:
    """Write an ISO date or time in a form."""
    form = DateForm(args)

    def show(value: Any) -> str:
        text = text_of(value).strip()
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(form.zone) if moment.tzinfo else moment
        except (ValueError, OverflowError):
            raise ValueError("is not a date") from None
        return form.write(moment)

    return show


def value_table(args: Mapping[str, Any]) -> Step:
    """Replace whole values by those of a table, spelling and spaces at the ends aside."""
    table = {str(key).strip().casefold(): value for key, value in dict(args.get("table") or {}).items()}
    # Most values are spelled as in the table, which is the fastest to find; where two keys differ in spelling alone
    # the last one holds.
    exact = {key: table[key.strip().casefold()] for key in dict(args.get("table") or {}) if isinstance(key, str)}
    other = args.get("otherwise") or "keep"

    def translate(value: Any) -> Any:
        found = exact.get(value) if type(value) is str else None
        if found is None:
            found = table.get(text_of(value).strip().casefold())
        if found is not None:
            return found
        if other == "error":
            raise ValueError("is not in the table of values")
        return value if other == "keep" else None

    return translate


def default(args: Mapping[str, Any]) -> Step:
    """Take a fixed value where there is none."""
    return lambda value: args["value"] if value in (None, "") else value
