"""Records that could not be written: by cause, one by one, and what a person can do about them."""

import uuid
from datetime import timedelta
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.clock import now
from app.errors import ConflictError, InvalidError, NotFoundError
from app.htmx import go, render, stop_polling
from app.models.runs import FailedRecord
from app.services import (
    corrections,
    doubts,
    failed_records,
    installations,
    listings,
    mappings,
    object_types,
    previews,
    repair_cards,
)
from app.services.failed_records import Cause
from app.transaction import transaction
from app.views.installations import open_page

blueprint = Blueprint("failed_records", __name__, url_prefix="/installations/<uuid:installation_id>/failed")
_SIZE = 50
_SHOWN = {"open": failed_records.OPEN, "ignored": ("ignored",), "resolved": ("resolved",)}


def _address(installation_id: uuid.UUID, failed_id: uuid.UUID | None = None) -> str:
    return f"/installations/{installation_id}/failed" + (f"/{failed_id}" if failed_id else "")


def _cause() -> Cause | None:
    """Return the cause that the address or form names."""
    sent = {name: request.values.get(name, "")[:200] for name in ("direction", "stream", "code", "field")}
    return Cause(**sent) if sent["code"] else None


def _find(installation_id: uuid.UUID, failed_id: uuid.UUID) -> FailedRecord:
    found = failed_records.get_failed_record(viewer().tenant_id, failed_id)
    if found.installation_id != installation_id:
        raise NotFoundError("There is no such record among the failed ones.")
    return found


@blueprint.get("")
@requires("member")
def index(installation_id: uuid.UUID) -> Response:
    tenant_id, before, cause = viewer().tenant_id, request.args.get("before", type=uuid.UUID), _cause()
    shown = request.args.get("show", "open")
    shown = shown if shown in _SHOWN else "open"
    found = failed_records.list_failed_records(
        tenant_id, installation_id, states=_SHOWN[shown], cause=cause, before=before, limit=_SIZE + 1
    )
    if request.args.get("one") and len(found) == 1:
        # Somebody comes to correct the only record of a cause: its own page is where that is done.
        return go(_address(installation_id, found[0].id))
    page = open_page(installation_id)
    return render(
        "failed_records/index.html", tab="failed", records=found[:_SIZE], show=shown, cause=cause,
        causes=failed_records.list_causes(tenant_id, installation_id) if shown == "open" else [],
        alike=repair_cards.ALIKE, labels=_labels(page["streams"]), older=found[_SIZE - 1].id if len(found) > _SIZE else None, **page,
    )  # fmt: skip


def _labels(streams: list[Any]) -> dict[str, dict[str, str]]:
    """Return stream -> field -> what people call it."""
    types = {stream.object_type for stream in streams}
    fields = {name: {field.name: field.label for field in object_types.list_fields(name)} for name in types}
    return {stream.stream: fields[stream.object_type] for stream in streams}


@blueprint.post("/retry")
@requires("member")
def retry_all(installation_id: uuid.UUID) -> Response:
    cause = _cause()
    with transaction():
        count = failed_records.retry(viewer().tenant_id, installation_id, cause=cause)
    flash(f"{count:,} records are tried again." if count != 1 else "1 record is tried again.")
    return go(_address(installation_id))


@blueprint.get("/<uuid:failed_id>")
@requires("member")
def show(installation_id: uuid.UUID, failed_id: uuid.UUID) -> Response:
    return _show(_find(installation_id, failed_id))


def _show(
    failed: FailedRecord, *, status: int = 200, errors: dict[str, str] | None = None, sent: dict[str, Any] | None = None
) -> Response:
    tenant_id = failed.tenant_id
    installation = installations.get_installation(tenant_id, failed.installation_id)
    manifest = listings.manifest_of(installation.listing_version_id)
    trying = _is_tried(failed, installation.state == "active" and installation.blocked_code is None)
    installed = mappings.get_stream(tenant_id, failed.installation_id, failed.stream)
    response = render(
        "failed_records/show.html", "failed_records/_card.html", status, failed=failed, installation=installation,
        manifest=manifest, trying=trying, corrections=corrections.list_corrections(failed), errors=errors or {},
        sent=sent or {}, there=corrections.place_there(failed), title=corrections.title_of(failed),
        writes=corrections.recent_writes(failed) if failed.direction == "out" else [],
        labels={field.name: field.label for field in object_types.list_fields(installed.object_type)},
        payload=corrections.find_payload(failed), can_fetch=manifest.stream(failed.stream).fetch is not None,
        named=doubts.named_id(failed),
    )  # fmt: skip
    return response if trying else stop_polling(response)


def _is_tried(failed: FailedRecord, active: bool) -> bool:
    """Whether a worker is about to try it, so that the page should look again."""
    if not active or failed.state in ("ignored", "resolved"):
        return False
    if failed.code == failed_records.IN_DOUBT and doubts.is_looking(failed.tenant_id, failed.id):
        return True
    due = failed.retry_at is not None and failed.retry_at <= now() + timedelta(seconds=2)
    return failed.state == "waiting" and due


@blueprint.post("/<uuid:failed_id>/<any(retry, ignore):act>")
@requires("member")
def act(installation_id: uuid.UUID, failed_id: uuid.UUID, act: str) -> Response:
    failed = _find(installation_id, failed_id)
    if act == "retry" and failed.state != "resolved" and failed.code == failed_records.IN_DOUBT:
        raise ConflictError("It is not known whether this record was created already. Decide that first.")
    with transaction():
        if act == "ignore":
            failed_records.ignore(failed.tenant_id, failed_id)
            said = "The record is left out from now on."
        else:
            # It may have been put right since the page was shown.
            tried = failed_records.retry(failed.tenant_id, installation_id, failed_id)
            said = "The record is tried again." if tried else "The record is in sync by now."
    flash(said)
    return go(_address(installation_id, failed_id if request.form.get("stay") else None))


@blueprint.post("/<uuid:failed_id>/value")
@requires("admin")
def correct(installation_id: uuid.UUID, failed_id: uuid.UUID) -> Response:
    failed = _find(installation_id, failed_id)
    fields = {item.field.name: item.field for item in corrections.list_corrections(failed)}
    sent: dict[str, Any] = {
        name: request.form.getlist(name) if fields[name].type == "multi_choice" else request.form[name]
        for name in fields if name in request.form
    }  # fmt: skip
    try:
        with transaction():
            corrections.give(failed.tenant_id, failed_id, sent)
    except InvalidError as error:
        return _show(_find(installation_id, failed_id), status=422, errors=error.fields, sent=sent)
    flash("The value is used, and the record is tried again.")
    return go(_address(installation_id, failed_id))


@blueprint.post("/<uuid:failed_id>/payload")
@requires("member")
def ask_payload(installation_id: uuid.UUID, failed_id: uuid.UUID) -> Response:
    failed = _find(installation_id, failed_id)
    with transaction():
        request_ = {"failed_id": str(failed_id)}
        previews.ask(failed.tenant_id, installation_id, "payload", stream=failed.stream, request=request_)
    return go(_address(installation_id, failed_id) + "#payload")


@blueprint.get("/<uuid:failed_id>/payload")
@requires("member")
def payload(installation_id: uuid.UUID, failed_id: uuid.UUID) -> Response:
    failed = _find(installation_id, failed_id)
    found = corrections.find_payload(failed)
    response = render(
        "failed_records/_payload.html", payload=found, failed=failed, manifest=listings.manifest_of(
            installations.get_installation(failed.tenant_id, installation_id).listing_version_id
        ),
    )  # fmt: skip
    return response if found and found.state == "waiting" else stop_polling(response)


@blueprint.post("/<uuid:failed_id>/link")
@requires("admin")
def link(installation_id: uuid.UUID, failed_id: uuid.UUID) -> Response:
    failed, sent = _find(installation_id, failed_id), request.form.get("external_id", "")
    try:
        with transaction():
            doubts.look_there(failed.tenant_id, failed_id, sent)
    except InvalidError as error:
        return _show(failed, status=422, errors=error.fields, sent={"external_id": sent})
    return go(_address(installation_id, failed_id))


@blueprint.post("/<uuid:failed_id>/again")
@requires("admin")
def send_again(installation_id: uuid.UUID, failed_id: uuid.UUID) -> Response:
    failed = _find(installation_id, failed_id)
    with transaction():
        doubts.send_again(failed.tenant_id, failed_id)
    flash("The record is sent again.")
    return go(_address(installation_id, failed_id))
