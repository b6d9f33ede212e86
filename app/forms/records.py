"""The form of one field of a record, by the field's type."""

from collections.abc import Sequence
from typing import Any

import orjson
from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import Length

_INPUTS = {"email": "email", "url": "url", "phone": "tel", "date": "date"}
_EXAMPLES = {"datetime": "2026-11-24T09:30:00Z", "date": "2026-11-24", "url": "https://www.example.com"}
_LONGEST = 100_000


def value_form(kind: str, label: str, choices: Sequence[tuple[str, str]], value: Any, seen: str) -> FlaskForm:
    """Return a form with one field `value`; `seen` says which value it shows, so that no newer one is overwritten."""
    return type("ValueForm", (FlaskForm,), {
        "value": _field(kind, label, choices, value), "seen": HiddenField(default=seen),
    })()  # fmt: skip


def _field(kind: str, label: str, choices: Sequence[tuple[str, str]], value: Any) -> Any:
    checks = [Length(max=_LONGEST, message=f"{label} is longer than {_LONGEST:,} characters.")]
    if kind == "flag":
        flags = [SelectChoice("", "empty"), SelectChoice("true", "yes"), SelectChoice("false", "no")]
        return SelectField(label, choices=flags, default={True: "true", False: "false"}.get(value, ""))
    if kind == "multi_choice" and choices:
        return SelectMultipleField(label, choices=[SelectChoice(*c) for c in choices], default=value or [])
    if kind == "choice" and choices:
        return SelectField(
            label, choices=[SelectChoice("", "empty"), *(SelectChoice(*c) for c in choices)], default=value or ""
        )
    if kind in ("long_text", "json"):
        shown = (
            value
            if isinstance(value, str) or value is None
            else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
        )
        return TextAreaField(label, checks, default=shown or "", render_kw={"rows": 6})
    look = {"type": _INPUTS.get(kind, "text"), "placeholder": _EXAMPLES.get(kind, ""), "autocomplete": "off"}
    return StringField(label, checks, default="" if value is None else _text(value), render_kw=look)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def read_value(kind: str, data: Any) -> Any:
    """Return what was entered, as the record takes it. ValueError when a structure is none."""
    if kind == "json" and isinstance(data, str) and data.strip():
        return orjson.loads(data)
    if kind == "multi_choice":
        return (
            data if isinstance(data, list) else [part.strip() for part in str(data or "").split(",") if part.strip()]
        ) or None
    return data.strip() if isinstance(data, str) else data
