"""Object types of the host, for operators."""

import re

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response
from wtforms.fields import SelectChoice  # type: ignore[attr-defined]  # the stubs are older than it

from app.access import requires_staff, viewer
from app.errors import AppError, InvalidError
from app.forms.installations import ObjectFieldForm, ObjectTypeForm
from app.htmx import go, render
from app.services import audit, object_types
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction
from connectors.sdk.fields import FIELD_TYPES

blueprint = Blueprint("object_types", __name__, url_prefix="/object-types")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@blueprint.get("")
@requires_staff("operator")
def index() -> Response:
    return _page()


def _page(status: int = 200, message: str = "", chosen: str = "") -> Response:
    types = object_types.list_object_types()
    chosen = chosen or request.args.get("type", "") or (types[0].name if types else "")
    form = ObjectFieldForm(formdata=None)
    form.type.choices = [SelectChoice(kind, kind) for kind in FIELD_TYPES]
    return render(
        "object_types/index.html", status=status, message=message, types=types, chosen=chosen,
        fields=object_types.list_fields(chosen), form=form, type_form=ObjectTypeForm(formdata=None),
    )  # fmt: skip


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidError("A name has small letters, digits and underscores, and begins with a letter.")


@blueprint.post("")
@requires_staff("operator")
def create() -> Response:
    form = ObjectTypeForm()
    if not form.validate_on_submit():
        return _page(422, "Give name, label and plural.")
    try:
        _check_name(form.name.data)
        with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
            object_types.add_object_type(form.name.data, form.label.data, form.plural.data, "Name")
            audit.write(PLATFORM_TENANT, "object_type.added", "object_type", form.name.data)
    except AppError as error:
        return _page(error.status, error.message)
    flash("The object type is added.")
    return go(f"/object-types?type={form.name.data}")


@blueprint.post("/<name>/fields")
@requires_staff("operator")
def create_field(name: str) -> Response:
    form = ObjectFieldForm()
    form.type.choices = [SelectChoice(kind, kind) for kind in FIELD_TYPES]
    if not form.validate_on_submit():
        return _page(422, "Give name, label and type.", name)
    try:
        _check_name(form.name.data)
        with bind_tenant(PLATFORM_TENANT, viewer().user.id), transaction():
            object_types.add_field(
                name, form.name.data, form.label.data, form.type.data, required=False,
                unique_hint=bool(request.form.get("unique_hint")),
            )  # fmt: skip
            audit.write(PLATFORM_TENANT, "object_field.added", "object_type", name, field=form.name.data)
    except AppError as error:
        return _page(error.status, error.message, name)
    flash("The field is added.")
    return go(f"/object-types?type={name}")
