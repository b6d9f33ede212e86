"""All data of a tenant, for its admins and (host_tenants.py) the host's operators: take it along, or have it erased."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Flask, current_app, flash
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError, InvalidError, NotFoundError
from app.extensions import settings
from app.forms.tenant_data import EraseForm
from app.htmx import go, render, stop_polling
from app.services import erasures, tenant_exports, tenants
from app.tenancy import bind_tenant
from app.transaction import transaction


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
        found = tenant_exports.list_exports(tenant_id)
    if tenant is None:
        raise NotFoundError("There is no such customer.")
    live = any(item.state in tenant_exports.LIVE for item in found)
    response = render(
        "tenant_data/show.html", "tenant_data/_exports.html", place=place, tenant=tenant, exports=found, live=live,
        form=form or EraseForm(formdata=None), message=message, grace=settings().erase_grace_days, status=status,
    )  # fmt: skip
    return response if live else stop_polling(response)


def export(place: Place) -> Response:
    """Have an export made."""
    with place.bound() as tenant_id:
        tenant_exports.request(tenant_id)
    return go(place.address)


def fetch(place: Place, export_id: uuid.UUID) -> Response:
    """Return the file, part by part."""
    with place.bound() as tenant_id:
        found = tenant_exports.open_ready(tenant_id, export_id)
        count, size, made_at = found.parts, found.size, found.created_at
    flask_app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the proxy ends with the request
    response = Response(_parts(flask_app, place.tenant_id, export_id, count), content_type="application/zip")
    response.headers["content-disposition"] = f'attachment; filename="patchbay-{made_at:%Y-%m-%d}.zip"'
    response.headers["content-length"] = str(size)
    return response


def _parts(flask_app: Flask, tenant_id: uuid.UUID, export_id: uuid.UUID, count: int) -> Iterator[bytes]:
    """Yield the parts; each is read in a context of its own, so nothing is held while the browser is slow."""
    for number in range(count):
        with flask_app.app_context(), bind_tenant(tenant_id):
            content = tenant_exports.read_part(tenant_id, export_id, number)
        yield content


def delete_export(place: Place, export_id: uuid.UUID) -> Response:
    """Delete an export before its time."""
    with place.bound() as tenant_id:
        tenant_exports.remove(tenant_id, export_id)
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
