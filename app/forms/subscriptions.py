"""The form of a subscription to events."""

from flask_wtf import FlaskForm
from wtforms import SelectMultipleField, StringField
from wtforms.validators import DataRequired, Length


class SubscriptionForm(FlaskForm):
    """Where events are sent, and which. Nothing chosen is everything."""

    name = StringField("Name", [DataRequired("Give it a name."), Length(max=120)])
    url = StringField(
        "Address", [DataRequired("Give the address that events are sent to."), Length(max=2000)],
        render_kw={"type": "url", "autocomplete": "off", "spellcheck": "false"},
    )  # fmt: skip
    types = SelectMultipleField("Types of events", validate_choice=False)
    object_types = SelectMultipleField("Object types", validate_choice=False)
    fields = StringField("Fields", [Length(max=2000)])

    @property
    def field_names(self) -> list[str]:
        """The names of fields, which are typed with commas or spaces between them."""
        return (self.fields.data or "").replace(",", " ").split()
