"""Forms of the wizard and of an installation."""

from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from wtforms import IntegerField, RadioField, SelectField, StringField, TimeField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Length, NumberRange, Optional


class ConfigureForm(FlaskForm):
    name = StringField("Name of this installation", [DataRequired("Give it a name."), Length(max=120)])
    kind = RadioField(
        "How often",
        choices=[
            SelectChoice("interval", "Every so many minutes"),
            SelectChoice("hourly", "Every hour"),
            SelectChoice("daily", "Once a day"),
            SelectChoice("manual", "Only by hand"),
        ],
    )
    minutes = IntegerField("Minutes", [Optional(), NumberRange(1, 10_080, "Give 1 to 10,080 minutes.")], default=15)
    at = TimeField("Time of day", [Optional()])
    zone = SelectField(
        "Time zone", choices=[SelectChoice(z, z) for z in sorted(available_timezones()) if "/" in z or z == "UTC"]
    )


class ObjectTypeForm(FlaskForm):
    name = StringField("Name", [DataRequired("Give a name."), Length(max=40)])
    label = StringField("Label", [DataRequired("Give a label."), Length(max=80)])
    plural = StringField("Plural", [DataRequired("Give the plural."), Length(max=80)])


class ObjectFieldForm(FlaskForm):
    name = StringField("Name", [DataRequired("Give a name."), Length(max=40)])
    label = StringField("Label", [DataRequired("Give a label."), Length(max=80)])
    type = SelectField("Type")
