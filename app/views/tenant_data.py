"""All data of a tenant, for its admins and (host_tenants.py) the host's operators: take it along, or have it erased."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError, InvalidError, NotFoundError
from app.extensions import settings
from app.forms.tenant_data import EraseForm
from app.htmx import go
from app.services import erasures, exports, tenants
from app.tenancy import bind_tenant
from app.transaction import transaction
from app.views.exports import render_list, send


@dataclass(frozen=True)
class Place:
    """Whose data a page is about, under which address, and whether the viewer may end it."""

    tenant_id: uuid.UUID
    address: str
    host: bool = False
    may_erase: bool = True

    @contextmanager
    def bound(self) -> Iterator[uuid.UUID]:
        """Bind the tenant in a transaction, and return its id."""
        with bind_tenant(self.tenant_id, viewer().user.id), transaction():
            yield self.tenant_id


def page(place: Place, form: EraseForm | None = None, message: str = "", status: int = 200) -> Response:
    """Return the page; its list of exports looks again while one is being made."""
    with place.bound() as tenant_id:
        tenant = tenants.find(tenant_id)
        found = exports.list_exports(tenant_id)
    if tenant is None:
        raise NotFoundError("There is no such customer.")
    return render_list(
        "tenant_data/show.html", found, place.address, f"{place.address}/exports", place=place, tenant=tenant,
        form=form or EraseForm(formdata=None), message=message, grace=settings().erase_grace_days, status=status,
    )  # fmt: skip


def export(place: Place) -> Response:
    """Have an export made."""
    with place.bound() as tenant_id:
        exports.request(tenant_id, user_id=viewer().user.id)
    return go(place.address)


def fetch(place: Place, export_id: uuid.UUID) -> Response:
    """Return the file, part by part."""
    with place.bound() as tenant_id:
        found = exports.open_ready(tenant_id, None, export_id)
    return send(found, "patchbay")


def delete_export(place: Place, export_id: uuid.UUID) -> Response:
    """Delete an export before its time."""
    with place.bound() as tenant_id:
        exports.remove(tenant_id, None, export_id)
    flash("The export is deleted.")
    return go(place.address)


def erase(place: Place) -> Response:
    """Have everything erased after the grace."""
    form = EraseForm()
    if not form.validate_on_submit():
        return page(place, form, status=422)
    try:
        with place.bound() as tenant_id:
            erasures.request(tenant_id, typed=form.name.data or "", email=viewer().user.email)
    except AppError as error:
        if isinstance(error, InvalidError):
            form.name.errors = [error.fields.get("name", error.message)]
            return page(place, form, status=422)
        return page(place, message=error.message, status=error.status)
    flash("Everything will be erased. Until then it can be taken back here.")
    return go(place.address)


def keep(place: Place) -> Response:
    """Take the erasure back."""
    try:
        with place.bound() as tenant_id:
            erasures.undo(tenant_id)
    except AppError as error:
        return page(place, message=error.message, status=error.status)
    flash("Taken back: nothing is erased.")
    return go(place.address)


def _mine() -> Place:
    return Place(viewer().tenant_id, "/data", may_erase=viewer().may("owner"))


blueprint = Blueprint("tenant_data", __name__, url_prefix="/data")
ROUTES: tuple[tuple[str, str, str, str, Callable[..., Any]], ...] = (
    ("show", "", "GET", "admin", page),
    ("export", "/exports", "POST", "admin", export),
    ("fetch", "/exports/<uuid:export_id>/file", "GET", "admin", fetch),
    ("delete_export", "/exports/<uuid:export_id>/delete", "POST", "admin", delete_export),
    ("erase", "/erase", "POST", "owner", erase),
    ("keep", "/keep", "POST", "owner", keep),
)


def _own(act: Callable[..., Any], name: str) -> Callable[..., Any]:
    def view(**values: Any) -> Any:
        return act(_mine(), **values)

    view.__name__ = name
    return view


for _name, _rule, _method, _role, _act in ROUTES:
    blueprint.add_url_rule(_rule, _name, requires(_role)(_own(_act, _name)), methods=[_method])
