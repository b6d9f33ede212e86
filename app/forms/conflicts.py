"""The form of a conflict, read into what was chosen for each field."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import orjson
from werkzeug.datastructures import MultiDict

Side = Literal["theirs", "ours", "base", "edited"]
SIDES: tuple[Side, ...] = get_args(Side)


def read_choices(
    sent: MultiDict[str, str], types: Mapping[str, str]
) -> tuple[dict[str, tuple[Side, Any]], dict[str, str]]:
    """Return field -> (side, value written instead) and field -> error; `types` are those of the conflict's fields.

    A field that nothing was chosen for is not among them.
    """
    chosen: dict[str, tuple[Side, Any]] = {}
    wrong = {}
    for name, kind in types.items():
        side = read_side(sent.get(f"side-{name}"))
        if side is None:
            continue
        value = None
        if side == "edited":
            try:
                value = _value(sent.getlist(f"value-{name}"), kind)
            except orjson.JSONDecodeError:
                wrong[name] = "This is not JSON."
        chosen[name] = (side, value)
    return chosen, wrong


def read_side(text: str | None) -> Side | None:
    """Return the side that a text names, None when it names none."""
    return next((side for side in SIDES if side == text), None)


def _value(sent: list[str], kind: str) -> Any:
    if kind == "multi_choice":
        return [item for item in sent if item] or None
    text = sent[0] if sent else ""
    text = text if kind in ("text", "long_text") else text.strip()
    return orjson.loads(text) if kind == "json" and text else text or None
