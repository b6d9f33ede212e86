"""Conflicts: the queue, one with its values side by side, and the decision about it."""

import uuid
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.errors import AppError, ConflictError, ForbiddenError, InvalidError
from app.extensions import settings
from app.forms.conflicts import read_choices, read_side
from app.htmx import go, render, wants_fragment
from app.services import (
    conflict_decisions,
    conflict_details,
    conflict_records,
    conflict_similar,
    conflicts,
    object_types,
)
from app.services.conflict_decisions import By, Choice
from app.services.conflict_details import Details
from app.services.conflicts import Filters
from app.transaction import transaction
from app.views.installations import open_page

blueprint = Blueprint("conflicts", __name__)
_SIZE = 50


@blueprint.get("/conflicts")
@requires("member")
def index() -> Response:
    context = _queue(request.args.get("installation", type=uuid.UUID))
    return render("conflicts/index.html", "conflicts/_list.html", base="/conflicts", **context)


@blueprint.get("/installations/<uuid:installation_id>/conflicts")
@requires("member")
def of_installation(installation_id: uuid.UUID) -> Response:
    context = open_page(installation_id) | _queue(installation_id)
    base = f"/installations/{installation_id}/conflicts"
    return render("conflicts/installation.html", "conflicts/_list.html", tab="conflicts", base=base, **context)


def _queue(installation_id: uuid.UUID | None) -> dict[str, Any]:
    tenant_id, sent = viewer().tenant_id, request.args
    like = sent.get("like", type=uuid.UUID)
    filters = Filters(
        show=sent.get("show", "open") if sent.get("show") in conflicts.SHOWN else "open", installation=installation_id,
        stream=sent.get("stream", "")[:80], kind=sent.get("kind", "") if sent.get("kind") in conflicts.KINDS else "",
        field=sent.get("field", "")[:80], like=conflicts.get_conflict(tenant_id, like) if like else None,
    )  # fmt: skip
    found = conflicts.list_conflicts(tenant_id, filters, before=sent.get("before", type=uuid.UUID), limit=_SIZE)
    types = {item.name: item for item in object_types.list_object_types()}
    titles = {
        item.conflict.id: conflict_details.title_of(
            item.data or item.conflict.theirs, types[item.object_type].title_field
        )
        for item in found.items
    }
    return {
        "found": found, "titles": titles, "filters": filters, "open_count": conflicts.count_open(tenant_id, installation_id),
        "limit": conflicts.COUNT_LIMIT,
        "types": types, "fields": object_types.fields_by_type(), "sources": conflicts.list_sources(tenant_id, chosen=installation_id),
        "host_name": settings().host_name, "may_see": viewer().may("admin"),
    }  # fmt: skip


@blueprint.get("/conflicts/<uuid:conflict_id>")
@requires("member")
def show(conflict_id: uuid.UUID) -> Response:
    details = conflict_details.get_details(viewer().tenant_id, conflict_id)
    return _page(details, after=request.args.get("after", type=uuid.UUID))


def _page(
    details: Details, *, choices: dict[str, Choice] | None = None, wrong: dict[str, str] | None = None,
    message: str = "", status: int = 200, after: uuid.UUID | None = None,
) -> Response:  # fmt: skip
    """Return the page of a conflict; `after`: the one that was saved just before."""
    tenant_id, conflict = viewer().tenant_id, details.conflict
    is_open = conflict.state == "open"
    return render(
        "conflicts/show.html", "conflicts/_conflict.html", status, place=conflicts.place_of(tenant_id, conflict.id),
        hints=conflict_details.last_choices(tenant_id, conflict) if is_open else {}, message=message, wrong=wrong or {},
        carried=None if is_open else conflict_similar.sum_up(tenant_id, conflict.id),
        saved=conflict_similar.sum_up(tenant_id, after) if after else None, **_decision(details, choices or {}),
    )  # fmt: skip


def _decision(details: Details, choices: dict[str, Choice]) -> dict[str, Any]:
    """Return what the decision's panel shows."""
    tenant_id, conflict = viewer().tenant_id, details.conflict
    is_open = conflict.state == "open"
    return {
        "d": details, "choices": choices, "outlook": conflict_decisions.foresee(details, choices),
        "taken": {name: choice.side for name, choice in choices.items()}, "host_name": settings().host_name,
        "similar": conflicts.count_similar(tenant_id, conflict) if is_open else 0,
        "same": conflicts.count_similar(tenant_id, conflict, same=True) if is_open and conflict.kind == "fields" else 0,
        "limit": conflicts.COUNT_LIMIT, "batch": conflict_similar.BATCH,
        "may_decide": viewer().may("admin") or not details.hides, "may_see": viewer().may("admin"),
    }  # fmt: skip


@blueprint.post("/conflicts/<uuid:conflict_id>/preview")
@requires("member")
def preview(conflict_id: uuid.UUID) -> Response:
    details = conflict_details.get_details(viewer().tenant_id, conflict_id)
    choices, _ = _read(details)
    return render("conflicts/_decision.html", **_decision(details, choices))


def _read(details: Details) -> tuple[dict[str, Choice], dict[str, str]]:
    read, wrong = read_choices(request.form, {item.name: item.field.type for item in details.fields})
    return {name: Choice(side, value) for name, (side, value) in read.items()}, wrong


@blueprint.post("/conflicts/<uuid:conflict_id>")
@requires("member")
def decide(conflict_id: uuid.UUID) -> Response:
    tenant_id = viewer().tenant_id
    details = conflict_details.get_details(tenant_id, conflict_id)
    choices, wrong = _read(details)
    try:
        if wrong:
            raise InvalidError(" ".join(wrong.values()), wrong)
        _require_allowed(details, choices)
        with transaction():
            conflict = _decide(details, choices)
            carries = bool(request.form.get("similar"))
            if carries:
                conflict_similar.carry_over(tenant_id, conflict, same=bool(request.form.get("same")))
        if carries:
            with transaction():
                conflict_similar.go_on(tenant_id, conflict_id)
    except (ConflictError, InvalidError) as error:
        return _refused(conflict_id, choices, error)
    return _next(conflict_id)


def _require_allowed(details: Details, choices: dict[str, Choice]) -> None:
    who = viewer()
    if details.hides and not who.may("admin"):
        raise ForbiddenError("A value of this conflict is shown to admins only, so one of them decides it.")
    if not request.form.get("similar"):
        return
    if not who.may("admin"):
        raise ForbiddenError("Only admins may decide many conflicts at once. Ask one of them.")
    edited = any(choice.side == "edited" for choice in choices.values())
    if edited and not request.form.get("confirmed"):
        raise InvalidError(
            "The value you wrote would be written into other records too. Confirm that below.",
            {"confirmed": "Confirm that this value is right for all of them."},
        )


def _decide(details: Details, choices: dict[str, Choice]) -> Any:
    who, sent, conflict = viewer(), request.form, details.conflict
    by, seen = By(who.user.id, who.user.name), sent.get("seen", "")
    if conflict.kind == "fields":
        return conflict_decisions.decide_fields(who.tenant_id, conflict.id, choices, seen=seen, by=by)
    if conflict.kind == "match":
        chosen = sent.get("record", "")
        record_id = sent.get("record", type=uuid.UUID)
        if record_id is None and chosen != "new":
            raise InvalidError("Choose which record it is.", {"record": "Choose one."})
        return conflict_records.decide_match(who.tenant_id, conflict.id, record_id, seen=seen, by=by)
    return conflict_records.decide_delete(who.tenant_id, conflict.id, sent.get("answer", ""), seen=seen, by=by)  # type: ignore[arg-type]  # checked there


def _refused(conflict_id: uuid.UUID, choices: dict[str, Choice], error: AppError) -> Response:
    """Show the conflict as it is now, with what was chosen, and why that was not saved."""
    details = conflict_details.get_details(viewer().tenant_id, conflict_id)
    wrong = error.fields if isinstance(error, InvalidError) else {}
    response = _page(details, choices=choices, wrong=wrong, message=error.message, status=error.status)
    if wants_fragment() and error.status == 409:
        response.headers["HX-Retarget"] = "#conflict"  # Without it htmx shows no such answer.
    return response


def _next(conflict_id: uuid.UUID) -> Response:
    """Go on to the next open conflict, which says what was saved; to the queue after the last."""
    following = conflicts.place_of(viewer().tenant_id, conflict_id).next
    if following is None:
        flash("Saved. No conflict is open any more.")
        return go("/conflicts")
    address = f"/conflicts/{following}?after={conflict_id}"
    if not wants_fragment():
        return go(address)
    response = _page(conflict_details.get_details(viewer().tenant_id, following), after=conflict_id)
    response.headers["HX-Push-Url"] = address
    return response


@blueprint.post("/conflicts/<uuid:conflict_id>/other")
@requires("member")
def take_other(conflict_id: uuid.UUID) -> Response:
    who, sent = viewer(), request.form
    details = conflict_details.get_details(who.tenant_id, conflict_id)
    by = By(who.user.id, who.user.name)
    name, _, picked = sent.get("pick", "").rpartition(":")
    side = read_side(picked)
    try:
        _require_allowed(details, {})
        with transaction():
            if details.conflict.kind == "fields":
                if side not in ("theirs", "ours"):
                    raise InvalidError("Choose whose value it is to have.")
                conflict_decisions.take_other(who.tenant_id, conflict_id, name, side, seen=sent.get("seen", ""), by=by)
            else:
                conflict_records.decide_delete(
                    who.tenant_id, conflict_id, sent.get("answer", ""), seen=sent.get("seen", ""), by=by  # type: ignore[arg-type]  # checked there
                )  # fmt: skip
    except (ConflictError, InvalidError) as error:
        return _refused(conflict_id, {}, error)
    if wants_fragment():
        return _page(conflict_details.get_details(who.tenant_id, conflict_id))
    flash("The decision is changed.")
    return go(f"/conflicts/{conflict_id}")
