"""Keys of the API: a tenant's own, and those of the host for operators."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flask import Blueprint, flash
from werkzeug.wrappers import Response

from app.access import requires, requires_staff, viewer
from app.errors import AppError, InvalidError
from app.forms.api_keys import ApiKeyForm, RotationForm
from app.forms.refusals import refuse
from app.htmx import go, render
from app.services import api_keys
from app.tenancy import PLATFORM_TENANT, bind_tenant
from app.transaction import transaction

blueprint = Blueprint("api_keys", __name__)
# As the service calls a key with single scopes.
_CUSTOM = "custom"


@dataclass(frozen=True)
class _Place:
    tenant_id: uuid.UUID
    address: str


def _tenant() -> _Place:
    return _Place(viewer().tenant_id, "/api-keys")


_HOST = _Place(PLATFORM_TENANT, "/host-keys")


@contextmanager
def _bound(place: _Place) -> Iterator[None]:
    with bind_tenant(place.tenant_id, viewer().user.id), transaction():
        yield


def _offer(form: ApiKeyForm) -> ApiKeyForm:
    form.profile.choices = [
        *((name, about) for name, (about, _) in api_keys.PROFILES.items()), (_CUSTOM, "Only what is chosen below"),
    ]  # fmt: skip
    return form


def _page(
    place: _Place, form: ApiKeyForm | None = None, value: str = "", message: str = "", status: int = 200
) -> Response:
    form = _offer(form or ApiKeyForm(formdata=None))
    with _bound(place):
        keys = api_keys.list_keys(place.tenant_id)
    return render(
        "api_keys/index.html", status=status, form=form, rotation=RotationForm(formdata=None), value=value,
        message=message, address=place.address, host=place is _HOST, scopes=api_keys.SCOPES,
        keys=[(key, api_keys.is_live(key)) for key in keys],
    )  # fmt: skip


def _create(place: _Place) -> Response:
    form = _offer(ApiKeyForm())
    if not form.validate_on_submit():
        return _page(place, form, status=422)
    chosen = (form.scopes.data or ()) if form.profile.data == _CUSTOM else None
    try:
        with _bound(place):
            _made, value = api_keys.make(
                place.tenant_id, form.name.data or "", profile=form.profile.data, days=int(form.days.data) or None,
                created_by=viewer().user.id, scopes=chosen,
            )  # fmt: skip
    except InvalidError as error:
        refuse(form, error)
        return _page(place, form, status=422)
    return _page(place, value=value)


def _rotate(place: _Place, key_id: uuid.UUID) -> Response:
    form = RotationForm()
    overlap = api_keys.OVERLAPS[form.overlap.data if form.validate_on_submit() else "24"]
    try:
        with _bound(place):
            _made, value = api_keys.rotate(place.tenant_id, key_id, overlap=overlap, created_by=viewer().user.id)
    except AppError as error:
        return _page(place, message=error.message, status=error.status)
    return _page(place, value=value)


def _revoke(place: _Place, key_id: uuid.UUID) -> Response:
    with _bound(place):
        api_keys.revoke(place.tenant_id, key_id)
    flash("The key is revoked. Whoever still sends it is refused.")
    return go(place.address)


@blueprint.get("/api-keys")
@requires("admin")
def index() -> Response:
    return _page(_tenant())


@blueprint.post("/api-keys")
@requires("admin")
def create() -> Response:
    return _create(_tenant())


@blueprint.post("/api-keys/<uuid:key_id>/rotate")
@requires("admin")
def rotate(key_id: uuid.UUID) -> Response:
    return _rotate(_tenant(), key_id)


@blueprint.post("/api-keys/<uuid:key_id>/revoke")
@requires("admin")
def revoke(key_id: uuid.UUID) -> Response:
    return _revoke(_tenant(), key_id)


@blueprint.get("/host-keys")
@requires_staff("operator")
def host_index() -> Response:
    return _page(_HOST)


@blueprint.post("/host-keys")
@requires_staff("operator")
def host_create() -> Response:
    return _create(_HOST)


@blueprint.post("/host-keys/<uuid:key_id>/rotate")
@requires_staff("operator")
def host_rotate(key_id: uuid.UUID) -> Response:
    return _rotate(_HOST, key_id)


@blueprint.post("/host-keys/<uuid:key_id>/revoke")
@requires_staff("operator")
def host_revoke(key_id: uuid.UUID) -> Response:
    return _revoke(_HOST, key_id)
