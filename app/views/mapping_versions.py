"""Versions of a mapping: the draft put in force or discarded, the history with its differences, an old one brought back."""

import uuid

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import NotFoundError
from app.htmx import go, render
from app.services import drift, mappings
from app.transaction import transaction
from app.views.mapping_pages import context_of, editor_of, open_page, show_page
from connectors.sdk import MappingError, describe_filter, diff_rules, filter_from_json

blueprint = Blueprint("mapping_versions", __name__, url_prefix="/installations/<uuid:installation_id>/mapping/<stream>")


@blueprint.post("/draft")
@requires("admin")
def draft(installation_id: uuid.UUID, stream: str) -> Response:
    who, page = viewer(), open_page(installation_id, stream)
    if request.form.get("do") != "apply":
        with transaction():
            mappings.discard_draft(who.tenant_id, installation_id, stream)
        flash("The changes are discarded.")
        return go(page.base)
    changed = {change.target for change in diff_rules(page.content.rules_in_force, page.content.rules)}
    try:
        with transaction():
            number = mappings.apply_draft(who.tenant_id, installation_id, stream, user_id=who.user.id)
            drift.tidy(who.tenant_id, installation_id, stream, changed)
    except MappingError as error:
        return show_page(page, status=422, message=f"{error.problems[0].message} {error.problems[0].fix}")
    if number is not None:
        flash(f"Version {number} is in force. The next run applies it.")
    return go(page.base)


@blueprint.get("/versions")
@requires("member")
def versions(installation_id: uuid.UUID, stream: str) -> Response:
    page = open_page(installation_id, stream)
    found = mappings.list_versions(page.content.installed)
    sources = {field.name: field.label for field in page.fields.values()}
    known = {target.name: target for target in page.targets}

    def words(filters: mappings.Filters) -> list[str]:
        read = [filter_from_json(item) for item in filters]
        return [f"{item.mode} {describe_filter(item, known[item.field])}" for item in read if item.field in known]

    rows = [
        {
            "version": version,
            "changes": diff_rules(older.rules, version.rules, sources) if older else [],
            "filters": words(version.filters) if older and older.filters != version.filters else None,
        }
        for version, older in zip(found, [*found[1:], None], strict=True)
    ]
    return render("mappings/versions.html", versions=rows, **context_of(page, editor_of(page), []))


@blueprint.post("/versions/<number>")
@requires("admin")
def bring_back(installation_id: uuid.UUID, stream: str, number: str) -> Response:
    who, page = viewer(), open_page(installation_id, stream)
    if not number.isdecimal():
        raise NotFoundError("There is no such version.")
    try:
        with transaction():
            mappings.bring_back(who.tenant_id, installation_id, stream, int(number), user_id=who.user.id)
    except MappingError as error:
        return show_page(page, status=422, message=f"{error.problems[0].message} {error.problems[0].fix}")
    if page.setup:
        flash(f"The content of version {number} is back.")
    return go(page.base)
