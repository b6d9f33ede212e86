"""Config fields of a manifest as a form."""

import re
from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, SelectField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Length, Optional, ValidationError

from connectors.sdk.manifest import ConfigField


def _pattern(pattern: str, example: str) -> Any:
    compiled = re.compile(pattern)

    def check(_form: FlaskForm, field: Any) -> None:
        if field.data and not compiled.fullmatch(field.data):
            raise ValidationError("This does not have the right form." + (f" Example: {example}" if example else ""))

    return check


def _each_line(pattern: str, example: str) -> Any:
    compiled = re.compile(pattern)

    def check(_form: FlaskForm, field: Any) -> None:
        for line in field.data or []:
            if not compiled.fullmatch(line):
                raise ValidationError(f"“{line[:60]}” does not have the right form. Example: {example}")

    return check


def _choices(field: ConfigField, loaded: list[dict[str, str]] | None) -> list[SelectChoice]:
    if field.choices:
        return [SelectChoice(choice.value, choice.label) for choice in field.choices]
    return [SelectChoice(choice["value"], choice["label"]) for choice in loaded or []]


class LinesField(TextAreaField):
    """A list of texts, one a line."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Take the lines, without empty ones and repetitions."""
        lines = (line.strip() for line in (valuelist[0] if valuelist else "").splitlines())
        self.data = list(dict.fromkeys(line for line in lines if line))  # type: ignore[assignment]  # a list by design

    def _value(self) -> str:
        return "\n".join(self.data or [])


def config_form(
    fields: list[ConfigField], present: dict[str, Any], *, keep_secrets: bool,
    loaded: dict[str, list[dict[str, str]]] | None = None,
) -> FlaskForm:  # fmt: skip
    """Return a form for these fields.

    `keep_secrets` lets stored secrets be left empty; `loaded` are choices from the account, field -> [{value, label}].
    """
    members: dict[str, Any] = {}
    for field in fields:
        needed = field.required and not (field.kind == "secret" and keep_secrets)
        checks: list[Any] = [
            DataRequired(f"Give the {field.label.lower()}.") if needed else Optional(),
            Length(max=4000),
        ]
        if field.pattern and field.kind != "list":
            checks.append(_pattern(field.pattern, field.example))
        look: dict[str, Any] = {
            "description": field.help,
            "render_kw": {"placeholder": field.example, "autocomplete": "off"},
        }
        default = present.get(field.name, field.default)
        if field.kind == "secret":
            members[field.name] = PasswordField(field.label, checks, **look)
        elif field.kind == "flag":
            members[field.name] = BooleanField(field.label, default=bool(default), description=field.help)
        elif choices := _choices(field, (loaded or {}).get(field.name)):
            kind = SelectMultipleField if field.kind == "list" else SelectField
            members[field.name] = kind(field.label, checks, choices=choices, default=default, description=field.help)
        elif field.kind == "list":
            lines = [_each_line(field.pattern, field.example)] if field.pattern else []
            checks = [check for check in checks if not isinstance(check, Length)][:1] + lines
            members[field.name] = LinesField(field.label, checks, default=default, **look)
        else:
            members[field.name] = StringField(field.label, checks, default=default, **look)
    return type("ConfigForm", (FlaskForm,), members)()
