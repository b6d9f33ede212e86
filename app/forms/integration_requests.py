"""The form that asks for an integration."""

from flask_wtf import FlaskForm
from wtforms import StringField, TextAreaField
from wtforms.validators import DataRequired, Length


class IntegrationRequestForm(FlaskForm):
    """Which one, where it is not in the catalog, and what for."""

    name = StringField("Which integration", [DataRequired("Name the product."), Length(max=80)])
    reason = TextAreaField("What for", [Length(max=500, message="500 characters at most.")])
