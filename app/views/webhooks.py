"""The webhooks of an installation: its subscription, what came in with its verdict, and replaying it."""

import uuid
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import ConflictError, NotFoundError
from app.htmx import go, render
from app.models.endpoints import VERDICTS, Endpoint
from app.services import connections, delivery_log, endpoints, silences
from app.transaction import transaction
from app.views.installations import open_page

blueprint = Blueprint("webhooks", __name__, url_prefix="/installations/<uuid:installation_id>/webhooks")
_SIZE = 50


def _home(installation_id: uuid.UUID) -> str:
    return f"/installations/{installation_id}/webhooks"


def _open(installation_id: uuid.UUID) -> tuple[dict[str, Any], Endpoint]:
    page, endpoint = open_page(installation_id), endpoints.find(viewer().tenant_id, installation_id)
    if endpoint is None:
        raise NotFoundError("This installation has no webhooks.")
    return page, endpoint


@blueprint.get("")
@requires("member")
def index(installation_id: uuid.UUID) -> Response:
    page = open_page(installation_id)
    endpoint = endpoints.find(viewer().tenant_id, installation_id)
    hooks, verdict = page["manifest"].webhooks, request.args.get("verdict", "")
    verdict = verdict if verdict in VERDICTS else ""
    if endpoint is None or hooks is None:
        return render("webhooks/none.html", tab="webhooks", hooks=hooks, **page)
    before = request.args.get("before", type=uuid.UUID)
    lines = delivery_log.list_deliveries(endpoint, verdict=verdict, before=before, limit=_SIZE + 1)
    by_hand = hooks.subscribe.create is None and endpoint.address is not None
    secret = endpoints.newest_secret(endpoint) if by_hand and viewer().may("admin") else None
    return render(
        "webhooks/index.html", tab="webhooks", endpoint=endpoint, hooks=hooks, lines=lines[:_SIZE], verdict=verdict,
        older=lines[_SIZE - 1].delivery.id if len(lines) > _SIZE else None,
        counts=delivery_log.count_by_verdict(endpoint), quiet_since=next(iter(silences.moments_of(endpoint)), None),
        patience=silences.patience_of(endpoint), secrets=endpoints.active_versions(endpoint), by_hand=by_hand,
        url=endpoints.url_of(endpoint.address) if endpoint.address else None, secret=secret,
        replays={scope: delivery_log.count_replay(endpoint, scope) for scope in delivery_log.SCOPES}, **page,
    )  # fmt: skip


@blueprint.get("/<uuid:delivery_id>")
@requires("member")
def show(installation_id: uuid.UUID, delivery_id: uuid.UUID) -> Response:
    page, endpoint = _open(installation_id)
    delivery = delivery_log.get_delivery(viewer().tenant_id, endpoint, delivery_id)
    return render(
        "webhooks/show.html", tab="webhooks", delivery=delivery, hints=delivery_log.list_hints(delivery),
        body=delivery_log.shown_body(delivery, page["manifest"]), **page,
    )  # fmt: skip


@blueprint.post("/<uuid:delivery_id>/replay")
@requires("member")
def replay(installation_id: uuid.UUID, delivery_id: uuid.UUID) -> Response:
    page, endpoint = _open(installation_id)
    try:
        with transaction():
            delivery_log.replay_one(endpoint, page["installation"], delivery_id)
        flash("The records it names are looked at again.")
    except ConflictError as error:
        flash(f"{error.message} {error.fix}".strip(), "error")
    return go(f"{_home(installation_id)}/{delivery_id}")


@blueprint.post("/replay")
@requires("member")
def replay_many(installation_id: uuid.UUID) -> Response:
    page, endpoint = _open(installation_id)
    scope = request.form.get("scope", "")
    if scope not in delivery_log.SCOPES:
        raise ConflictError("Choose what is replayed.")
    try:
        with transaction():
            count = delivery_log.replay_many(endpoint, page["installation"], scope)
        flash(f"{count:,} {'delivery is' if count == 1 else 'deliveries are'} replayed.")
    except ConflictError as error:
        flash(error.message, "error")
    return go(_home(installation_id))


@blueprint.post("/rotate")
@requires("admin")
def rotate(installation_id: uuid.UUID) -> Response:
    _open(installation_id)
    try:
        with transaction():
            endpoints.ask_rotation(viewer().tenant_id, installation_id)
        flash("The secret is exchanged. For 24 hours the one before is accepted as well.")
    except ConflictError as error:
        flash(f"{error.message} {error.fix}".strip(), "error")
    return go(_home(installation_id))


@blueprint.post("/register")
@requires("admin")
def register(installation_id: uuid.UUID) -> Response:
    tenant_id, installation = viewer().tenant_id, open_page(installation_id)["installation"]
    if installation.state != "active":
        flash("This installation is not active. Resume it first.", "error")
        return go(_home(installation_id))
    with transaction():
        connection = connections.get_connection(tenant_id, installation.connection_id)
        endpoints.open_for(tenant_id, installation, connection)
    flash("The subscription is being made.")
    return go(_home(installation_id))
