"""The transforms of a mapping: what people and the editor need to know of each, and how it is made and turned round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.sdk import inverses, steps
from connectors.sdk.fields import TEXTS
from connectors.sdk.inverses import Invert
from connectors.sdk.mapping_types import Transform
from connectors.sdk.steps import Step


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
    """What people and the editor need to know of a transform.

    `gives` is the type that comes out, `back` the types that its inverse gives; left out, the type stays. Without
    `invert` a value cannot flow out, and `no_inverse` says why; with it, `back_help` says what the way out does.
    """

    name: str
    label: str
    help: str
    example: tuple[Any, Any]
    make: Callable[[Mapping[str, Any]], Step]
    arguments: tuple[Argument, ...] = ()
    gives: str | None = None
    takes_all: bool = False
    example_args: Mapping[str, Any] = field(default_factory=dict)
    invert: Invert | None = None
    back_help: str = ""
    no_inverse: str = ""
    back: tuple[str, ...] = ()


def _t(
    name: str, label: str, help_: str, example: tuple[Any, Any], make: Any, *arguments: Argument, **more: Any
) -> Any:
    return name, TransformInfo(name, label, help_, example, make, arguments, **more)


TRANSFORMS: dict[str, TransformInfo] = dict(
    (
        _t(
            "trim", "trim", "Takes away spaces at both ends.", (" Ada ", "Ada"), steps.trim,
            invert=inverses.same, back_help="The value as it is.",
        ),
        _t(
            "case", "change case", "Writes the text in lower case, upper case or with capitals.", ("ADA", "ada"), steps.case,
            Argument("to", "Write in", "choice", ("lower", "upper", "title"), "lower"), example_args={"to": "lower"},
            invert=inverses.same,
            back_help="The value as it is; what comes back is in this case again.",
        ),
        _t(
            "concat", "join", "Joins several fields into one text; empty ones are left out.",
            (["Ada", "Byron"], "Ada Byron"), steps.concat,
            Argument("separator", "Put between", default=" ", required=False), takes_all=True, gives="text",
            invert=inverses.cut, back=("text",),
            back_help="One piece for each field, cut where the pieces are joined; the last takes the rest.",
        ),
        _t(
            "coalesce", "first with a value", "Takes the first of several fields that is not empty.",
            (["", "Ada"], "Ada"), steps.coalesce, takes_all=True,
            invert=inverses.first, back_help="Written to the first of the fields.",
        ),
        _t(
            "split", "split", "Cuts the text at a separator and takes one part; 0 is the first, -1 the last.",
            ("Ada Byron", "Byron"), steps.split, Argument("separator", "Cut at", default=" ", required=False),
            Argument("index", "Part", "integer", default=0), gives="text", example_args={"separator": " ", "index": -1},
            no_inverse="The other parts of the text are not kept.",
        ),
        _t(
            "replace", "replace", "Replaces a piece of text wherever it stands.", ("a-b", "a b"), steps.replace,
            Argument("old", "Replace"), Argument("new", "By", required=False), gives="text",
            example_args={"old": "-", "new": " "},
            no_inverse="Nobody knows where the piece stood.",
        ),
        _t(
            "substring", "part of the text", "Takes a number of characters from a position on; 0 is the first.",
            ("Berlin", "Ber"), steps.substring, Argument("start", "From", "integer", default=0),
            Argument("length", "Characters", "integer", required=False), gives="text",
            example_args={"start": 0, "length": 3},
            no_inverse="What stood before and after the part is not kept.",
        ),
        _t(
            "number", "read number", "Reads a number from a text such as £12,400.00 or 1.234,5 EUR.",
            ("£12,400.00", 12400), steps.number, Argument("decimal", "Decimal sign", "choice", (".", ","), "."),
            gives="number", example_args={"decimal": "."},
            invert=inverses.number, back=(*TEXTS, "number", "integer"),
            back_help="Written with that decimal sign, without units; a number where the other side has numbers.",
        ),
        _t(
            "minor_units", "amount from minor units",
            "Turns cents and the like into an amount; the second field is the currency, which says how many make one.",
            ([1999, "eur"], 19.99), steps.minor_units, takes_all=True, gives="number",
            no_inverse="An amount does not say its currency, which decides how many minor units it is.",
        ),
        _t(
            "boolean", "read yes or no", "Reads a text as yes or no.", ("Y", True), steps.boolean,
            Argument("yes", "Words for yes", default="yes,true,1,on", required=False),
            Argument("no", "Words for no", default="no,false,0,off", required=False), gives="flag",
            example_args={"yes": "y", "no": "n"},
            invert=inverses.boolean, back=(*TEXTS, "flag"), back_help="The first of the words for yes or for no.",
        ),
        _t(
            "date_parse", "read date",
            "Reads a date or time in a form made of YYYY MM DD hh mm ss; epoch_s and epoch_ms read numbers.",
            ("24/11/2026", "2026-11-24"), steps.date_parse, Argument("format", "Form", default="YYYY-MM-DD"),
            Argument("zone", "Time zone", default="UTC", required=False), gives="date",
            example_args={"format": "DD/MM/YYYY"},
            invert=inverses.date_parse,
            back=(*TEXTS, "number", "integer"), back_help="Written in that form; it has to say year, month and day.",
        ),
        _t(
            "date_format", "write date", "Writes a date or time in a form made of YYYY MM DD hh mm ss.",
            ("2026-11-24", "24.11.2026"), steps.date_format, Argument("format", "Form", default="YYYY-MM-DD"),
            Argument("zone", "Time zone", default="UTC", required=False), gives="text",
            example_args={"format": "DD.MM.YYYY"},
            invert=inverses.date_format,
            back=("date", "datetime"), back_help="Read from that form; it has to say year, month and day.",
        ),
        _t(
            "value_table", "translate values", "Replaces whole values by others, as in a table.",
            ("opportunity", "lead"), steps.value_table, Argument("table", "Values", "table"),
            Argument("otherwise", "Other values", "choice", ("keep", "empty", "error"), "keep"),
            example_args={"table": {"opportunity": "lead"}, "otherwise": "keep"},
            invert=inverses.value_table,
            back_help="The table read from right to left, when no two values become the same.",
        ),
        _t(
            "default", "use when empty", "Takes a fixed value when the field is empty.", ("", "unknown"), steps.default,
            Argument("value", "Value"), example_args={"value": "unknown"},
            invert=inverses.same, back_help="The value as it is.",
        ),
    )
)  # fmt: skip


def arguments_of(step: Transform) -> dict[str, Any]:
    """Return the arguments of a step with defaults filled in; ValueError names what is missing or unknown."""
    info = TRANSFORMS[step.name]
    filled = {a.name: step.args.get(a.name) for a in info.arguments}
    for argument in info.arguments:
        if filled[argument.name] is None or (argument.choices and not filled[argument.name]):
            filled[argument.name] = argument.default
    missing = [a.label for a in info.arguments if a.required and filled[a.name] is None]
    if missing:
        raise ValueError(f"“{info.label}” needs {', '.join(missing)}")
    strange = [a.label for a in info.arguments if a.choices and filled[a.name] not in a.choices]
    if strange:
        raise ValueError(f"“{info.label}” knows no such {', '.join(strange)}")
    return filled


def transforms_markdown() -> str:
    """Return the reference page of all transforms."""
    lines = [
        "# Transforms", "",
        "What a mapping can do to a value on its way in. They run in the order given; on the way out each is turned round,",
        "the last one first.", "",
    ]  # fmt: skip
    for info in TRANSFORMS.values():
        lines += [f"## {info.name}", "", f"{info.help}", "", "| argument | means | default |", "| --- | --- | --- |"]
        lines += [f"| `{a.name}` | {a.label} | {a.default if a.default is not None else ''} |" for a in info.arguments]
        shown = f" with `{dict(info.example_args)}`" if info.example_args else ""
        lines += ["", f"Example{shown}: `{info.example[0]!r}` becomes `{info.example[1]!r}`.", ""]
        lines += [f"On the way out: {info.back_help}" if info.invert else f"No way out: {info.no_inverse}", ""]
    return "\n".join(lines)
