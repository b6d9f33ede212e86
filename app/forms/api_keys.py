"""The form of a new key of the API."""

from flask_wtf import FlaskForm
from wtforms import SelectField, SelectMultipleField, StringField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Length


class ApiKeyForm(FlaskForm):
    """What a key is for, what it may do and until when."""

    name = StringField("What it is for", [DataRequired("Give it a name."), Length(max=80)])
    profile = SelectField("What it may do")
    # Counts only where the profile is the custom one.
    scopes = SelectMultipleField("Scopes", validate_choice=False)
    days = SelectField(
        "It ends",
        choices=[
            SelectChoice("90", "after 90 days"),
            SelectChoice("365", "after a year"),
            SelectChoice("30", "after 30 days"),
            SelectChoice("0", "never"),
        ],
    )


class RotationForm(FlaskForm):
    """How long the old key works beside the new one."""

    overlap = SelectField(
        "The old key works on for",
        choices=[
            SelectChoice("24", "24 hours"),
            SelectChoice("168", "7 days"),
            SelectChoice("0", "not at all"),
        ],
    )
