"""Asking for integrations, and deciding about it."""

import uuid

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, requires_staff, viewer
from app.forms.integration_requests import IntegrationRequestForm
from app.htmx import go, render
from app.services import integration_requests, listings
from app.transaction import transaction

blueprint = Blueprint("integration_requests", __name__, url_prefix="/requests")


@blueprint.get("")
@requires("member")
def index() -> Response:
    who = viewer()
    found = integration_requests.list_requests(who.tenant_id, user_id=None if who.may("admin") else who.user.id)
    return render("requests/index.html", requests=found)


@blueprint.route("/new", methods=["GET", "POST"])
@requires("member")
def new() -> Response:
    """Ask for the listing that the address names, or for one that is missing."""
    who, slug = viewer(), request.args.get("connector", "")[:80]
    listing = listings.get_listing(slug) if slug else None
    form = IntegrationRequestForm(data={"name": listing.name if listing else request.args.get("name", "")[:80]})
    if not form.validate_on_submit():
        return render("requests/new.html", status=422 if form.errors else 200, form=form, listing=listing)
    name, reason = (listing.name if listing else (form.name.data or "").strip()), (form.reason.data or "").strip()
    with transaction():
        asked = integration_requests.ask(who.tenant_id, who.user, name, connector=slug or None, reason=reason)
    flash(_said(name, asked, bool(listing)))
    return go("/requests")


def _said(name: str, asked: bool, listed: bool) -> str:
    if not asked:
        return f"You have asked for {name} already."
    return f"Your admins have been told that you ask for {name}." if listed else f"Noted: {name} is asked for."


@blueprint.post("/<uuid:request_id>/approve")
@requires("admin")
def approve(request_id: uuid.UUID) -> Response:
    with transaction():
        made = integration_requests.approve(viewer().tenant_id, request_id, by=viewer().user)
    return go(f"/installations/{made}/setup/connect")


@blueprint.post("/<uuid:request_id>/decline")
@requires("admin")
def decline(request_id: uuid.UUID) -> Response:
    note = request.form.get("note", "").strip()[:500]
    with transaction():
        integration_requests.decline(viewer().tenant_id, request_id, by=viewer().user, note=note)
    flash("Declined. Who asked is told.")
    return go("/requests")


@blueprint.post("/<uuid:request_id>/withdraw")
@requires("member")
def withdraw(request_id: uuid.UUID) -> Response:
    with transaction():
        integration_requests.withdraw(viewer().tenant_id, request_id, by=viewer().user)
    flash("The request is taken back.")
    return go("/requests")


@blueprint.get("/missing")
@requires_staff("support", "operator")
def missing() -> Response:
    return render("requests/missing.html", found=integration_requests.list_missing())
