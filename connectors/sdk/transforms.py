"""The transforms of a mapping: pure, bounded, each with an error that names the value. No expressions, no regex."""

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


def _trim(_args: Mapping[str, Any]) -> Step:
    return lambda value: value.strip() if isinstance(value, str) else value


def _case(args: Mapping[str, Any]) -> Step:
    turn = {"lower": str.lower, "upper": str.upper, "title": str.title}[args["to"]]
    return lambda value: turn(_text(value))


def _concat(args: Mapping[str, Any]) -> Step:
    separator = args.get("separator", " ")

    def join(values: Any) -> Any:
        parts = [_text(value) for value in values if value not in (None, "")]
        return _bounded(separator.join(parts)) if parts else None

    return join


def _coalesce(_args: Mapping[str, Any]) -> Step:
    return lambda values: next((value for value in values if value not in (None, "", [])), None)


def _split(args: Mapping[str, Any]) -> Step:
    separator, index = args.get("separator") or " ", int(args.get("index", 0))

    def part(value: Any) -> Any:
        parts = _text(value).split(separator)
        return parts[index].strip() if -len(parts) <= index < len(parts) else None

    return part


def _replace(args: Mapping[str, Any]) -> Step:
    old, new = args["old"], args.get("new") or ""
    return lambda value: _bounded(_text(value).replace(old, new))


def _substring(args: Mapping[str, Any]) -> Step:
    start, length = int(args.get("start", 0)), args.get("length")
    end = None if length in (None, "") else start + int(str(length))
    return lambda value: _text(value)[start:end]


def _number(args: Mapping[str, Any]) -> Step:
    decimal = args.get("decimal") or "."
    thousands = "," if decimal == "." else "."
    kept = set("0123456789-+") | {decimal}

    def parse(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        text = _text(value).strip()
        digits = "".join(c for c in text.replace(thousands, "") if c in kept).replace(decimal, ".")
        letters = [c for c in text if c.isalpha()]
        try:
            # A currency code may stand beside the number; more letters than that are no number.
            number = float(digits) if len(letters) <= 3 else None
        except ValueError:
            number = None
        if number is None or number != number or abs(number) > 1e18:
            raise ValueError("is not a number")
        return int(number) if number.is_integer() else number

    return parse


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


def _format(pattern: str) -> str:
    result = pattern.replace("%", "%%")
    for token, code in _TOKENS.items():
        result = result.replace(token, code)
    return result


def _zone(args: Mapping[str, Any]) -> ZoneInfo:
    try:
        return ZoneInfo(args.get("zone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{args.get('zone')} is not a time zone such as Europe/London") from None


def _date_parse(args: Mapping[str, Any]) -> Step:
    given = args.get("format") or "YYYY-MM-DD"
    pattern, zone, timed = _format(given), _zone(args), "hh" in given

    def parse(value: Any) -> str:
        if given in ("epoch_s", "epoch_ms"):
            seconds = float(value) / (1000 if given == "epoch_ms" else 1)
            return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
        try:
            moment = datetime.strptime(_text(value).strip(), pattern).replace(tzinfo=zone)
        except ValueError:
            raise ValueError(f"is not a date of the form {given}") from None
        if not timed:
            return moment.date().isoformat()
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

    return parse


def _date_format(args: Mapping[str, Any]) -> Step:
    pattern, zone = _format(args.get("format") or "YYYY-MM-DD"), _zone(args)

    def show(value: Any) -> str:
        try:
            moment = datetime.fromisoformat(_text(value).strip())
        except ValueError:
            raise ValueError("is not a date") from None
        return (moment.astimezone(zone) if moment.tzinfo else moment).strftime(pattern)

    return show


def _value_table(args: Mapping[str, Any]) -> Step:
    table = {str(key).casefold(): value for key, value in dict(args.get("table") or {}).items()}
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
