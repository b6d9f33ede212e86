"""Changing a record by hand: one field at a time, delete and restore; each says first what the other sides will hear."""

import uuid
from typing import Any

from flask import Blueprint, flash, request
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import ConflictError, InvalidError, NotFoundError
from app.extensions import settings
from app.forms.records import read_value, value_form
from app.htmx import go, render
from app.services import audit, record_edits, record_outlooks, record_traces
from app.services.page_context import Out
from app.services.record_traces import Trace, TracedField
from app.transaction import transaction

blueprint = Blueprint("record_edits", __name__, url_prefix="/records/<uuid:record_id>")


def _open(record_id: uuid.UUID) -> Trace:
    return record_traces.get_trace(viewer().tenant_id, record_id, host=settings().host_name)


def _field(record_id: uuid.UUID, name: str) -> tuple[Trace, TracedField]:
    trace = _open(record_id)
    found = next((item for item in trace.fields if item.field.name == name), None)
    if found is None or trace.record.deleted_at is not None:
        raise NotFoundError("There is no such field of a record.")
    return trace, found


def _form(trace: Trace, item: TracedField) -> FlaskForm:
    field, value = item.field, trace.record.data.get(item.field.name)
    choices = [(choice["value"], choice["label"]) for choice in field.choices]
    return value_form(field.type, field.label, choices, None if item.hidden else value, record_edits.seen_of(value))


def _page(trace: Trace, item: TracedField, form: FlaskForm, status: int = 200, message: str = "") -> Response:
    reaches = record_outlooks.reaches_of_edit(trace, item.field.name)
    return render(
        "records/field.html", status=status, trace=trace, item=item, form=form, reaches=reaches, message=message,
        host_name=settings().host_name,
    )  # fmt: skip


@blueprint.get("/fields/<name>")
@requires("admin")
def show(record_id: uuid.UUID, name: str) -> Response:
    trace, item = _field(record_id, name)
    return _page(trace, item, _form(trace, item))


@blueprint.post("/fields/<name>")
@requires("admin")
def save(record_id: uuid.UUID, name: str) -> Response:
    who = viewer()
    trace, item = _field(record_id, name)
    form = _form(trace, item)
    form.validate_on_submit()
    try:
        if form.errors:
            raise InvalidError("The value does not fit.", {name: next(iter(form.errors.values()))[0]})
        value = _read(item, form)
        if item.hidden and value in (None, "") and not request.form.get("clear"):
            flash(f"{item.field.label} stays as it is.")
            return go(f"/records/{record_id}")
        with transaction():
            record_edits.change_field(
                who.tenant_id, record_id, name, value, seen=form.seen.data or "", writer=who.user.name
            )
            audit.write(who.tenant_id, "record.edited", "record", str(record_id), trace.title, field=name)
    except InvalidError as error:
        form.value.errors = [error.fields.get(name, error.message)]
        return _page(trace, item, form, 422)
    except ConflictError as error:
        fresh, now = _field(record_id, name)
        return _page(fresh, now, _typed_again(fresh, now, form), 409, error.message)
    flash(f"{item.field.label} is changed.")
    return go(f"/records/{record_id}")


def _read(item: TracedField, form: FlaskForm) -> Any:
    try:
        return read_value(item.field.type, form.value.data)
    except ValueError:
        name = item.field.name
        raise InvalidError("Not a structure.", {name: f"{item.field.label}: this is not valid JSON."}) from None


def _typed_again(trace: Trace, item: TracedField, sent: FlaskForm) -> FlaskForm:
    """Return the form with what was typed, over the value that the record has by now."""
    form = _form(trace, item)
    form.value.data, form.seen.data = sent.value.data, record_edits.seen_of(trace.record.data.get(item.field.name))
    return form


@blueprint.post("/delete")
@requires("admin")
def delete(record_id: uuid.UUID) -> Response:
    who, trace = viewer(), _open(record_id)
    with transaction():
        record_edits.delete(who.tenant_id, record_id, writer=who.user.name)
        audit.write(who.tenant_id, "record.deleted", "record", str(record_id), trace.title)
    flash("The record is deleted. You can restore it on this page.")
    return go(f"/records/{record_id}")


@blueprint.post("/restore")
@requires("admin")
def restore(record_id: uuid.UUID) -> Response:
    who, trace = viewer(), _open(record_id)
    chosen = request.form.getlist("again")
    again = [
        Out(case.scene.installation.id, case.stream)
        for case in trace.cases
        if record_traces.side_name(case) in chosen
    ]  # fmt: skip
    with transaction():
        record_edits.restore(who.tenant_id, record_id, again=again, writer=who.user.name)
        audit.write(who.tenant_id, "record.restored", "record", str(record_id), trace.title)
    flash("The record is restored.")
    return go(f"/records/{record_id}")
