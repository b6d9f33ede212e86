"""The form that ends a tenant."""

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired


class EraseForm(FlaskForm):
    """The name of the tenant, typed."""

    name = StringField("Name, as it stands above", [DataRequired("Type the name.")], render_kw={"autocomplete": "off"})
