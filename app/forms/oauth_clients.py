"""The form of an application at a vendor."""

from flask_wtf import FlaskForm
from wtforms import DateField, PasswordField, StringField
from wtforms.validators import DataRequired, Length, Optional


class OAuthClientForm(FlaskForm):
    """What the vendor shows when an application is made there."""

    client_id = StringField(
        "Client id", [DataRequired("Give the client id."), Length(max=300)], render_kw={"autocomplete": "off"}
    )
    secret = PasswordField("Client secret", [Optional(), Length(max=1000)], render_kw={"autocomplete": "off"})
    expires_on = DateField("Secret ends on", [Optional()])
