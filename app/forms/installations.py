"""Forms of the wizard and of an installation."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import IntegerField, RadioField, SelectField, StringField, TimeField
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it
from wtforms.validators import DataRequired, Length, NumberRange, Optional

from connectors.sdk.filters import OPS


class ConfigureForm(FlaskForm):
    name = StringField("Name of this installation", [DataRequired("Give it a name."), Length(max=120)])
    kind = RadioField(
        "How often",
        choices=[
            SelectChoice("interval", "Every few minutes"),
            SelectChoice("hourly", "Every hour"),
            SelectChoice("daily", "Once a day"),
            SelectChoice("manual", "Only when somebody presses Run now"),
        ],
    )
    minutes = IntegerField(
        "Minutes between runs", [Optional(), NumberRange(1, 10_080, "Give 1 to 10,080 minutes.")], default=15
    )
    at = TimeField("Time of day", [Optional()])
    zone = SelectField(
        "Time zone", choices=[SelectChoice(z, z) for z in sorted(available_timezones()) if "/" in z or z == "UTC"]
    )


# Comparison of a filter -> what it is called, and how many values it takes.
FILTER_OPS = {op: (words.replace(" {}", ""), takes) for op, (takes, words, _) in OPS.items()}


@dataclass
class StreamForm:
    """What the second step says of one stream, as it was typed. `filters` are rows of mode, field, op and value."""

    enabled: bool
    direction: str = "in"
    conflict_policy: str = "ask"
    delete_policy: str = "mirror"
    filters: list[dict[str, str]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> list[dict[str, Any]]:
        """The filters as they are stored."""
        return [_stored(row) for row in self.filters]


def read_streams(sent: MultiDict[str, str], names: Iterable[str]) -> dict[str, StreamForm]:
    """Return stream -> what was chosen for it."""
    enabled = set(sent.getlist("streams"))
    return {
        name: StreamForm(
            name in enabled,
            sent.get(f"direction-{name}", "in"),
            sent.get(f"conflict-{name}", "ask"),
            sent.get(f"deletes-{name}", "mirror"),
            _filters(sent, name),
        )
        for name in names
    }


def _filters(sent: MultiDict[str, str], stream: str) -> list[dict[str, str]]:
    columns = [sent.getlist(f"filter-{stream}-{part}") for part in ("mode", "field", "op", "value")]
    rows = [dict(zip(("mode", "field", "op", "value"), row, strict=True)) for row in zip(*columns, strict=False)]
    return [row for row in rows if row["field"]]


def _stored(row: dict[str, str]) -> dict[str, Any]:
    _, takes = FILTER_OPS.get(row["op"], ("", "one"))
    text = row["value"].strip()
    values = [part.strip() for part in text.split(",") if part.strip()] if takes == "many" else [text] if text else []
    return {
        "field": row["field"], "op": row["op"], "values": [] if takes == "none" else values,
        "mode": "exclude" if row["mode"] == "exclude" else "include",
    }  # fmt: skip


def shown_filters(stored: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Return stored filters as rows of the form."""
    return [{**item, "value": ", ".join(str(value) for value in item["values"])} for item in stored]


class ObjectTypeForm(FlaskForm):
    name = StringField("Name", [DataRequired("Give a name."), Length(max=40)])
    label = StringField("Label", [DataRequired("Give a label."), Length(max=80)])
    plural = StringField("Plural", [DataRequired("Give the plural."), Length(max=80)])


class ObjectFieldForm(FlaskForm):
    name = StringField("Name", [DataRequired("Give a name."), Length(max=40)])
    label = StringField("Label", [DataRequired("Give a label."), Length(max=80)])
    type = SelectField("Type")
