"""Config fields of a manifest as a form."""

import re
from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, PasswordField, SelectField, StringField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Length, Optional, ValidationError

from connectors.sdk.manifest import ConfigField


def _pattern(pattern: str, example: str) -> Any:
    compiled = re.compile(pattern)

    def check(_form: FlaskForm, field: Any) -> None:
        if field.data and not compiled.fullmatch(field.data):
            raise ValidationError("This does not have the right form." + (f" Example: {example}" if example else ""))

    return check


def config_form(fields: list[ConfigField], present: dict[str, Any], *, keep_secrets: bool) -> FlaskForm:
    """Return a form for these fields; `keep_secrets` lets stored secrets be left empty."""
    members: dict[str, Any] = {}
    for field in fields:
        needed = field.required and not (field.kind == "secret" and keep_secrets)
        checks: list[Any] = [
            DataRequired(f"Give the {field.label.lower()}.") if needed else Optional(),
            Length(max=4000),
        ]
        if field.pattern:
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
        elif field.kind == "choice" and field.choices:
            choices = [SelectChoice(choice.value, choice.label) for choice in field.choices]
            members[field.name] = SelectField(field.label, choices=choices, default=default, description=field.help)
        else:
            members[field.name] = StringField(field.label, checks, default=default, **look)
    return type("ConfigForm", (FlaskForm,), members)()
