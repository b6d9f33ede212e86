"""Typed fields, the same on both sides, and how a value becomes one of the host's types."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

FieldType = Literal[
    "text", "long_text", "email", "phone", "url", "number", "integer", "flag", "date", "datetime", "choice",
    "multi_choice", "json", "reference",
]  # fmt: skip
FIELD_TYPES: tuple[str, ...] = get_args(FieldType)
TEXTS = ("text", "long_text", "email", "phone", "url", "choice", "reference")
LONGEST = 64 * 1024
_EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s.,;<>()]+(?:\.[^@\s.,;<>()]+)+")
_BAD_TEXT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Choice:
    """One value of a choice field and how people call it."""

    value: str
    label: str


@dataclass(frozen=True)
class FieldInfo:
    """A field of a stream; `name` is its dotted path in a record's data."""

    name: str
    label: str
    type: str
    required: bool = False
    read_only: bool = False
    custom: bool = False
    choices: tuple[Choice, ...] = ()
    sample: Any = None


@dataclass(frozen=True)
class TargetField:
    """A field of the host's object type."""

    name: str
    label: str
    type: str
    required: bool = False
    choices: tuple[Choice, ...] = ()


def shorten(value: Any) -> str:
    """Return a value as text for a message, 80 characters at most."""
    text = value if isinstance(value, str) else repr(value)
    text = _BAD_TEXT.sub("�", text)
    return text if len(text) <= 80 else text[:79] + "…"


def coercer(field: TargetField) -> Callable[[Any], Any]:
    """Return the function that turns a value into the field's type, or raises ValueError with a readable end."""
    if field.type in ("choice", "multi_choice"):
        return _choice(field)
    return _COERCERS.get(field.type, _text)


def _text(value: Any) -> str:
    # What nearly every value is goes through nothing else.
    if type(value) is str and len(value) <= LONGEST and value.isascii() and "\x00" not in value:
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        raise ValueError("is a structure, not a text")
    text = str(value)
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST:,} characters")
    if _BAD_TEXT.search(text):
        raise ValueError("holds a character that cannot be stored")
    return text


def _email(value: Any) -> str:
    text = _text(value)
    if not _EMAIL.fullmatch(text):
        raise ValueError("is not an e-mail address")
    return text


def _url(value: Any) -> str:
    text = _text(value)
    if not text.startswith(("https://", "http://")):
        raise ValueError("is not a web address")
    return text


def _read_number(text: str) -> float | int:
    # A whole number stays one: a float would round the last of more than fifteen digits.
    return int(text) if len(text) < 40 and text.strip().lstrip("+-").isdigit() else float(text)


def _number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is not a number")
    try:
        number = value if not isinstance(value, str) else _read_number(value)
    except ValueError:
        raise ValueError("is not a number") from None
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError("is not a finite number")
    if abs(number) > 1e18:
        raise ValueError("is too large a number")
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _integer(value: Any) -> int:
    number = _number(value)
    if not isinstance(number, int):
        raise ValueError("is not a whole number")
    return number


_FLAGS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = _FLAGS.get(str(value).strip().lower())
    if found is None:
        raise ValueError("is neither yes nor no")
    return found


def _date(value: Any) -> str:
    text = value if type(value) is str and len(value) == 10 else _text(value).strip()
    try:
        return (date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text).date()).isoformat()
    except ValueError:
        raise ValueError("is not a date of the form 2026-11-24") from None


def _datetime(value: Any) -> str:
    try:
        moment = datetime.fromisoformat(_text(value).strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is not a time of the form 2026-11-24T09:30:00Z") from None
    return moment.isoformat().replace("+00:00", "Z")


def _json(value: Any) -> Any:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left += [*item, *item.values()]
        elif isinstance(item, list):
            left += item
        elif isinstance(item, str) and _BAD_TEXT.search(item):
            raise ValueError("holds a character that cannot be stored")
    return value


def _choice(field: TargetField) -> Callable[[Any], Any]:
    # A value wins over a label that is spelled like it.
    allowed = {choice.label.casefold(): choice.value for choice in field.choices}
    allowed |= {choice.value.casefold(): choice.value for choice in field.choices}
    values = {choice.value for choice in field.choices if allowed[choice.value.casefold()] == choice.value}
    names = ", ".join(choice.value for choice in field.choices)

    def one(value: Any) -> str:
        if type(value) is str and value in values:
            return value
        text = _text(value).strip()
        if not allowed:
            return text
        found = allowed.get(text.casefold())
        if found is None:
            raise ValueError(f"is none of {names}")
        return found

    def many(value: Any) -> list[str]:
        return [one(item) for item in (value if isinstance(value, list) else [value])]

    return many if field.type == "multi_choice" else one


_COERCERS: dict[str, Callable[[Any], Any]] = {
    "text": _text, "long_text": _text, "phone": _text, "reference": _text, "email": _email, "url": _url,
    "number": _number, "integer": _integer, "flag": _flag, "date": _date, "datetime": _datetime, "json": _json,
}  # fmt: skip
