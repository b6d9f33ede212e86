"""The way out: for each transform that can be turned round, what makes the other side's value of the host's.

An inverse gets a value that is not empty. What comes back through the transform afterwards may be spelled in another
way than the host's value (a case, a default), but coming back once more it stays what it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.sdk import steps
from connectors.sdk.date_forms import DateForm, iso, read_iso
from connectors.sdk.fields import TEXTS, TargetField, coercer
from connectors.sdk.steps import Step, text_of

_as_number = coercer(TargetField("", "", "number"))
_as_flag = coercer(TargetField("", "", "flag"))


@dataclass(frozen=True)
class Ends:
    """What an inverse knows of both ends: the sources' types, "" where unknown, and how the host keeps a value."""

    kinds: tuple[str, ...]
    coerce: Callable[[Any], Any]


Invert = Callable[[Mapping[str, Any], Ends], Step]


def same(_args: Mapping[str, Any], _ends: Ends) -> Step:
    """Send the host's value as it is."""
    return lambda value: value


def cut(args: Mapping[str, Any], ends: Ends) -> Step:
    """Turn a join round: one piece for each source, the last takes the rest. No piece is empty."""
    separator, count = steps.word(args, "separator", " "), len(ends.kinds)
    if not separator:
        raise ValueError("With nothing put between the parts nobody knows where one ends.")

    def pieces(value: Any) -> list[str]:
        rest, found = text_of(value), list[str]()
        while len(found) < count - 1:
            at = rest.find(separator, 1)
            if at < 0 or at + len(separator) == len(rest):
                break
            found.append(rest[:at])
            rest = rest[at + len(separator) :]
        return [*found, rest]

    return pieces


def first(_args: Mapping[str, Any], _ends: Ends) -> Step:
    """Write to the first source: it is the one that is read first."""
    return lambda value: [value]


def number(args: Mapping[str, Any], ends: Ends) -> Step:
    """Write a number with that decimal sign, or leave it one where the other side has numbers."""
    decimal = args.get("decimal") or "."
    if ends.kinds[0] in ("number", "integer"):
        return _as_number
    return lambda value: str(_as_number(value)).replace(".", decimal)


def boolean(args: Mapping[str, Any], ends: Ends) -> Step:
    """Write the first of the words for yes or for no."""
    if ends.kinds[0] == "flag":
        return _as_flag
    yes, no = (words[0].strip() for words in steps.yes_and_no(args))
    if not yes or not no:
        raise ValueError("The first word for yes or for no is empty.")
    if steps.boolean(args)(no):
        raise ValueError(f"“{no}” stands for yes as well.")
    return lambda value: yes if _as_flag(value) else no


def date_parse(args: Mapping[str, Any], ends: Ends) -> Step:
    """Write a date or time in the form it is read in."""
    form = _whole(args)
    if form.epoch and ends.kinds[0] in TEXTS:
        return lambda value: str(form.write_utc(value))
    return form.write_utc


def date_format(args: Mapping[str, Any], ends: Ends) -> Step:
    """Read the text that was made of a date; ISO comes out, a time where the other side has times."""
    form = _whole(args)
    if form.epoch:
        raise ValueError(f"{form.given} is no form to write dates in.")
    timed = ends.kinds[0] == "datetime" or (ends.kinds[0] != "date" and form.timed)

    def read(value: Any) -> str:
        moment = form.read_local(text_of(value).strip())
        return iso(read_iso(moment.isoformat())) if timed else moment.date().isoformat()

    return read


def _whole(args: Mapping[str, Any]) -> DateForm:
    form = DateForm(args)
    if not form.whole:
        raise ValueError(f"The form {form.given} does not say year, month and day.")
    return form


def value_table(args: Mapping[str, Any], ends: Ends) -> Step:
    """Read the table from right to left; ValueError when two of its values became the same."""
    table, other = dict(args.get("table") or {}), args.get("otherwise") or "keep"
    forward = steps.value_table(args)
    back: dict[str, Any] = {}
    for theirs, ours in table.items():
        if ours in (None, ""):
            continue
        key = _key(_kept(ours, ends))
        if key in back:
            raise ValueError(f"“{back[key]}” and “{theirs}” both become “{ours}”.")
        back[key] = theirs

    def translate(value: Any) -> Any:
        found = back.get(_key(value))
        if found is not None:
            return found
        if other != "keep":
            raise ValueError("is not in the table of values")
        came = forward(value)
        if _key(came) != _key(value):
            raise ValueError(f"would come back as {came}")
        return value

    return translate


def _kept(value: Any, ends: Ends) -> Any:
    # A table may name a choice by its label; the record then holds the choice's value.
    try:
        return ends.coerce(value)
    except (ValueError, TypeError, OverflowError):
        return value


def _key(value: Any) -> str:
    return str(value).strip().casefold()
