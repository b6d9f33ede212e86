"""Development only: every component in its states, to look at in both themes and on a telephone."""

from datetime import timedelta

from flask import Blueprint
from werkzeug.wrappers import Response
from wtforms import Form, PasswordField, SelectField, StringField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it

from app.access import public
from app.clock import now
from app.htmx import render

blueprint = Blueprint("styleguide", __name__, url_prefix="/styleguide")


class _SampleForm(Form):
    name = StringField("Name")
    key = PasswordField("Restricted key")
    schedule = SelectField("How often", choices=[SelectChoice("15", "every 15 minutes"), SelectChoice("60", "hourly")])


@blueprint.route("", methods=["GET", "POST"])  # the sample dialog sends its form here
@public
def show() -> Response:
    form = _SampleForm(data={"name": "", "schedule": "60"})
    form.name.errors = ["Give the installation a name, for example “Stripe UK”."]
    streams = [
        {"label": "Contacts", "object_type": "contact", "way": "both"},
        {"label": "Companies", "object_type": "company", "way": "in"},
    ]  # fmt: skip
    moments = [now() - timedelta(seconds=seconds) for seconds in (5, 1080, 90_000, -660)]
    return render("styleguide/show.html", form=form, streams=streams, moments=moments)
