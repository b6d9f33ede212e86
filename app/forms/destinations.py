"""The form of a destination of notices."""

from flask_wtf import FlaskForm
from wtforms import SelectField, StringField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Length


class DestinationForm(FlaskForm):
    """Where messages are posted, and which. The address is never filled in again."""

    kind = SelectField(
        "What it is",
        choices=[
            SelectChoice("slack", "Slack, or what takes its form"),
            SelectChoice("webhook", "Webhook of your own, signed"),
        ],
        validate_choice=False,
    )
    name = StringField("Name", [DataRequired("Give it a name."), Length(max=120)])
    url = StringField(
        "Address", [Length(max=2000)],
        render_kw={"type": "url", "autocomplete": "off", "spellcheck": "false"},
    )  # fmt: skip
    preference = SelectField(
        "Tell it",
        choices=[
            SelectChoice("problems", "about everything that is not in order, and when it is again"),
            SelectChoice("action", "only when somebody has to act"),
        ],
    )
