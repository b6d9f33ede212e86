"""The transforms of a mapping: pure, bounded, each with an error that names the value. No expressions, no regex."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.sdk.fields import LONGEST

Step = Callable[[Any], Any]
TEXTS = ("text", "long_text", "email", "phone", "url", "choice", "reference")


@dataclass(frozen=True)
class Argument:
    """One argument of a transform, as the mapping editor asks for it."""

    name: str
    label: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    default: Any = None
    required: bool = True


@dataclass(frozen=True)
class TransformInfo:
    """What people and the editor need to know of a transform."""

    name: str
    label: str
    help: str
    example: tuple[Any, Any]
    make: Callable[[Mapping[str, Any]], Step]
    arguments: tuple[Argument, ...] = ()
    gives: str | None = None
    takes_all: bool = False
    example_args: Mapping[str, Any] = field(default_factory=dict)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise ValueError("is a structure, not a text")
    return value if isinstance(value, str) else str(value)


def _bounded(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"would be longer than {LONGEST:,} characters")
    return text


def _word(args: Mapping[str, Any], name: str, otherwise: str = "") -> str:
    value = args.get(name)
    return otherwise if value is None else _text(value)


def _trim(_args: Mapping[str, Any]) -> Step:
    return lambda value: value.strip() if isinstance(value, str) else value


def _case(args: Mapping[str, Any]) -> Step:
    turn = {"lower": str.lower, "upper": str.upper, "title": str.title}[args["to"]]
    return lambda value: turn(_text(value))


def _concat(args: Mapping[str, Any]) -> Step:
    separator = _word(args, "separator", " ")

    def join(values: Any) -> Any:
        parts = [_text(value) for value in values if value not in (None, "")]
        return _bounded(separator.join(parts)) if parts else None

    return join


def _coalesce(_args: Mapping[str, Any]) -> Step:
    return lambda values: next((value for value in values if value not in (None, "", [])), None)


def _split(args: Mapping[str, Any]) -> Step:
    separator, index = _word(args, "separator") or " ", int(args.get("index", 0))

    def part(value: Any) -> Any:
        parts = _text(value).split(separator)
        return parts[index].strip() if -len(parts) <= index < len(parts) else None

    return part


def _replace(args: Mapping[str, Any]) -> Step:
    old, new = _word(args, "old"), _word(args, "new")
    if not old:
        raise ValueError("there is nothing to replace")

    def replace(value: Any) -> str:
        text = _text(value)
        if len(text) + text.count(old) * (len(new) - len(old)) > LONGEST:
            raise ValueError(f"would be longer than {LONGEST:,} characters")
        return text.replace(old, new)

    return replace


def _substring(args: Mapping[str, Any]) -> Step:
    start, length = int(args.get("start", 0)), args.get("length")
    end = None if length in (None, "") else start + int(str(length))
    if end is not None and end < start:
        raise ValueError("the number of characters is negative")
    if start < 0 and end is not None and end >= 0:
        end = None
    return lambda value: _text(value)[start:end]


def _number(args: Mapping[str, Any]) -> Step:
    decimal = args.get("decimal") or "."
    form = _number_form(decimal, "," if decimal == "." else ".")

    def parse(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = value
        else:
            text = _text(value).strip().replace("\u2212", "-")
            found = form.fullmatch(text) if len(text) <= 64 else None
            if found is None or (found["before"] and found["sign"]):
                raise ValueError("is not a number")
            digits = re.sub(
                r"[^0-9eE.+-]", "", found["digits"].replace(decimal, "\0").replace(".", "").replace("\0", ".")
            )
            sign = -1 if "-" in (found["before"], found["sign"]) else 1
            number = sign * (int(digits) if digits.isdigit() else float(digits))
        if abs(number) > 1e18 or not math.isfinite(number):
            raise ValueError("is not a number")
        return int(number) if isinstance(number, float) and number.is_integer() else number

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


def _minor_units(_args: Mapping[str, Any]) -> Step:
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


def _boolean(args: Mapping[str, Any]) -> Step:
    yes = {word.strip().casefold() for word in str(args.get("yes") or "yes,true,1,on").split(",")}
    no = {word.strip().casefold() for word in str(args.get("no") or "no,false,0,off").split(",")}

    def parse(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        word = _text(value).strip().casefold()
        if word in yes or word in no:
            return word in yes
        raise ValueError("is neither yes nor no")

    return parse


_TOKENS = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "hh": "%H", "mm": "%M", "ss": "%S"}
_TOKEN = re.compile("|".join(_TOKENS))


def _format(form: str) -> str:
    found = _TOKEN.findall(form)
    if len(set(found)) < len(found):
        raise ValueError(f"{form} names a part of the date twice")
    return _TOKEN.sub(lambda token: _TOKENS[token[0]], form.replace("%", "%%"))


def _zone(args: Mapping[str, Any]) -> ZoneInfo:
    try:
        return ZoneInfo(_word(args, "zone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{args.get('zone')} is not a time zone such as Europe/London") from None


def _date_parse(args: Mapping[str, Any]) -> Step:
    given = _word(args, "format") or "YYYY-MM-DD"
    pattern, zone, timed = _format(given), _zone(args), "hh" in given

    def parse(value: Any) -> str:
        text = _text(value).strip()
        try:
            if given in ("epoch_s", "epoch_ms"):
                moment = datetime.fromtimestamp(float(text) / (1000 if given == "epoch_ms" else 1), UTC)
            else:
                moment = datetime.strptime(text, pattern).replace(tzinfo=zone)
                if not timed:
                    return moment.date().isoformat()
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"is not a date of the form {given}") from None

    return parse


def _date_format(args: Mapping[str, Any]) -> Step:
    form, zone = _word(args, "format") or "YYYY-MM-DD", _zone(args)

    def show(value: Any) -> str:
        text = _text(value).strip()
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(zone) if moment.tzinfo else moment
        except (ValueError, OverflowError):
            raise ValueError("is not a date") from None
        parts = (f"{moment.year:04}", *(f"{part:02}" for part in moment.timetuple()[1:6]))
        written = dict(zip(_TOKENS, parts, strict=True))
        return _TOKEN.sub(lambda token: written[token[0]], form)

    return show


def _value_table(args: Mapping[str, Any]) -> Step:
    table = {str(key).strip().casefold(): value for key, value in dict(args.get("table") or {}).items()}
    other = args.get("otherwise") or "keep"

    def translate(value: Any) -> Any:
        found = table.get(_text(value).strip().casefold())
        if found is not None:
            return found
        if other == "error":
            raise ValueError("is not in the table of values")
        return value if other == "keep" else None

    return translate


def _default(args: Mapping[str, Any]) -> Step:
    return lambda value: args["value"] if value in (None, "") else value


def _t(
    name: str, label: str, help_: str, example: tuple[Any, Any], make: Any, *arguments: Argument, **more: Any
) -> Any:
    return name, TransformInfo(name, label, help_, example, make, arguments, **more)


TRANSFORMS: dict[str, TransformInfo] = dict(
    (
        _t("trim", "trim", "Takes away spaces at both ends.", (" Ada ", "Ada"), _trim),
        _t(
            "case", "change case", "Writes the text in lower case, upper case or with capitals.", ("ADA", "ada"), _case,
            Argument("to", "Write in", "choice", ("lower", "upper", "title"), "lower"), example_args={"to": "lower"},
        ),
        _t(
            "concat", "join", "Joins several fields into one text; empty ones are left out.",
            (["Ada", "Byron"], "Ada Byron"), _concat,
            Argument("separator", "Put between", default=" ", required=False), takes_all=True, gives="text",
        ),
        _t(
            "coalesce", "first with a value", "Takes the first of several fields that is not empty.",
            (["", "Ada"], "Ada"), _coalesce, takes_all=True,
        ),
        _t(
            "split", "split", "Cuts the text at a separator and takes one part; 0 is the first, -1 the last.",
            ("Ada Byron", "Byron"), _split, Argument("separator", "Cut at", default=" ", required=False),
            Argument("index", "Part", "integer", default=0), gives="text", example_args={"separator": " ", "index": -1},
        ),
        _t(
            "replace", "replace", "Replaces a piece of text wherever it stands.", ("a-b", "a b"), _replace,
            Argument("old", "Replace"), Argument("new", "By", required=False), gives="text",
            example_args={"old": "-", "new": " "},
        ),
        _t(
            "substring", "part of the text", "Takes a number of characters from a position on; 0 is the first.",
            ("Berlin", "Ber"), _substring, Argument("start", "From", "integer", default=0),
            Argument("length", "Characters", "integer", required=False), gives="text",
            example_args={"start": 0, "length": 3},
        ),
        _t(
            "number", "read number", "Reads a number from a text such as £12,400.00 or 1.234,5 EUR.",
            ("£12,400.00", 12400), _number, Argument("decimal", "Decimal sign", "choice", (".", ","), "."),
            gives="number", example_args={"decimal": "."},
        ),
        _t(
            "minor_units", "amount from minor units",
            "Turns cents and the like into an amount; the second field is the currency, which says how many make one.",
            ([1999, "eur"], 19.99), _minor_units, takes_all=True, gives="number",
        ),
        _t(
            "boolean", "read yes or no", "Reads a text as yes or no.", ("Y", True), _boolean,
            Argument("yes", "Words for yes", default="yes,true,1,on", required=False),
            Argument("no", "Words for no", default="no,false,0,off", required=False), gives="flag",
            example_args={"yes": "y", "no": "n"},
        ),
        _t(
            "date_parse", "read date",
            "Reads a date or time in a form made of YYYY MM DD hh mm ss; epoch_s and epoch_ms read numbers.",
            ("24/11/2026", "2026-11-24"), _date_parse, Argument("format", "Form", default="YYYY-MM-DD"),
            Argument("zone", "Time zone", default="UTC", required=False), gives="date",
            example_args={"format": "DD/MM/YYYY"},
        ),
        _t(
            "date_format", "write date", "Writes a date or time in a form made of YYYY MM DD hh mm ss.",
            ("2026-11-24", "24.11.2026"), _date_format, Argument("format", "Form", default="YYYY-MM-DD"),
            Argument("zone", "Time zone", default="UTC", required=False), gives="text",
            example_args={"format": "DD.MM.YYYY"},
        ),
        _t(
            "value_table", "translate values", "Replaces whole values by others, as in a table.",
            ("opportunity", "lead"), _value_table, Argument("table", "Values", "table"),
            Argument("otherwise", "Other values", "choice", ("keep", "empty", "error"), "keep"),
            example_args={"table": {"opportunity": "lead"}, "otherwise": "keep"},
        ),
        _t(
            "default", "use when empty", "Takes a fixed value when the field is empty.", ("", "unknown"), _default,
            Argument("value", "Value"), example_args={"value": "unknown"},
        ),
    )
)  # fmt: skip


def transforms_markdown() -> str:
    """Return the reference page of all transforms."""
    lines = ["# Transforms", "", "What a mapping can do to a value on its way. They run in the order given.", ""]
    for info in TRANSFORMS.values():
        lines += [f"## {info.name}", "", f"{info.help}", "", "| argument | means | default |", "| --- | --- | --- |"]
        lines += [f"| `{a.name}` | {a.label} | {a.default if a.default is not None else ''} |" for a in info.arguments]
        shown = f" with `{dict(info.example_args)}`" if info.example_args else ""
        lines += ["", f"Example{shown}: `{info.example[0]!r}` becomes `{info.example[1]!r}`.", ""]
    return "\n".join(lines)
