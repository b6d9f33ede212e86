"""Forms about accounts."""

from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField, SelectField, StringField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Email, Length

_PASSWORD = "Use at least 10 characters."  # noqa: S105  # a hint, not a password


class SignUpForm(FlaskForm):
    company = StringField("Company", [DataRequired("Give the name of your company."), Length(max=120)])
    name = StringField("Your name", [DataRequired("Give your name."), Length(max=120)])
    email = EmailField("E-mail", [DataRequired("Give your e-mail address."), Email("This is not an e-mail address.")])
    password = PasswordField("Password", [DataRequired("Choose a password."), Length(10, 200, _PASSWORD)])


class SignInForm(FlaskForm):
    email = EmailField("E-mail", [DataRequired("Give your e-mail address.")])
    password = PasswordField("Password", [DataRequired("Give your password.")])


class AddressForm(FlaskForm):
    email = EmailField("E-mail", [DataRequired("Give your e-mail address."), Email("This is not an e-mail address.")])


class NewPasswordForm(FlaskForm):
    password = PasswordField("New password", [DataRequired("Choose a password."), Length(10, 200, _PASSWORD)])


class ChangePasswordForm(FlaskForm):
    old = PasswordField("Present password", [DataRequired("Give your present password.")])
    password = PasswordField("New password", [DataRequired("Choose a password."), Length(10, 200, _PASSWORD)])


class JoinForm(FlaskForm):
    name = StringField("Your name", [DataRequired("Give your name."), Length(max=120)])
    password = PasswordField("Password", [DataRequired("Choose a password."), Length(10, 200, _PASSWORD)])


class InviteForm(FlaskForm):
    email = EmailField("E-mail", [DataRequired("Give an e-mail address."), Email("This is not an e-mail address.")])
    role = SelectField(
        "Role",
        choices=[
            SelectChoice("member", "Member: looks and starts runs"),
            SelectChoice("admin", "Admin: installs and changes"),
            SelectChoice("owner", "Owner: everything"),
        ],
    )


class SupportGrantForm(FlaskForm):
    hours = SelectField(
        "For how long",
        choices=[
            SelectChoice("1", "1 hour"),
            SelectChoice("4", "4 hours"),
            SelectChoice("24", "1 day"),
            SelectChoice("72", "3 days"),
        ],
    )
    reason = StringField("What for", [DataRequired("Say what support should look at."), Length(max=200)])


class ProfileForm(FlaskForm):
    name = StringField("Name", [DataRequired("Give your name."), Length(max=120)])
    zone = SelectField(
        "Time zone",
        choices=[
            SelectChoice("", "As the company"),
            *(SelectChoice(z, z) for z in sorted(available_timezones()) if "/" in z or z == "UTC"),
        ],
    )
    theme = SelectField(
        "Appearance",
        choices=[SelectChoice("system", "As the device"), SelectChoice("light", "Light"), SelectChoice("dark", "Dark")],
    )


class NotificationForm(FlaskForm):
    preference = SelectField(
        "E-mail me",
        choices=[
            SelectChoice("problems", "about everything that is not in order, and when it is again"),
            SelectChoice("action", "only when somebody has to act"),
            SelectChoice("none", "never"),
        ],
    )
