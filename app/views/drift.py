"""Fields of the account that have changed: what each means for the mapping, and the choices."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.htmx import go, render
from app.services import drift, mappings
from app.services.stream_fields import AccountField
from app.transaction import transaction
from app.views.mapping_pages import Page, context_of, editor_of, open_page
from app.views.mapping_rows import Row, make_row
from connectors.sdk import MappingError, Rule, suggest_transform

blueprint = Blueprint("drift", __name__, url_prefix="/installations/<uuid:installation_id>/mapping/<stream>/drift")


@dataclass(frozen=True)
class Choice:
    """One changed field. `rows` are those of the mapping that read it; `drafted`: the draft deals with it already."""

    field: AccountField
    rows: list[Row]
    drafted: bool


@blueprint.get("")
@requires("member")
def show(installation_id: uuid.UUID, stream: str) -> Response:
    return _show(open_page(installation_id, stream))


def _show(page: Page, *, status: int = 200, message: str = "") -> Response:
    editor = editor_of(page)
    changed = drift.open_changes(page.content.installed)
    rules = {rule.target: rule for rule in page.content.rules}
    choices = [_choice(page, [make_row(editor, t, rules.get(t.name)) for t in page.targets], f) for f in changed]
    free = [target for target in page.targets if target.name not in rules]
    return render(
        "drift/show.html", status=status, choices=choices, free=free, message=message, **context_of(page, editor, [])
    )


def _choice(page: Page, rows: list[Row], field: AccountField) -> Choice:
    reading = [row for row in rows if row.rule and field.name in row.rule.sources]
    drafted = page.content.draft is not None and (bool(reading) if field.mark == "new" else not reading)
    return Choice(field, reading, drafted)


@blueprint.post("")
@requires("admin")
def choose(installation_id: uuid.UUID, stream: str) -> Response:
    """Map a new field, take a lost one out, or leave one or all of them as they are."""
    who, page = viewer(), open_page(installation_id, stream)
    name, pressed = request.form.get("field", ""), request.form.get("do", "")
    field = page.fields.get(name)
    if pressed in ("leave", "leave_all"):
        with transaction():
            drift.settle(who.tenant_id, installation_id, stream, {name} if pressed == "leave" else None)
        flash("The notice is closed." if pressed == "leave_all" else "The field is left as it is.")
        return go(f"{page.base}/drift" if pressed == "leave" else page.base)
    if field is None:
        return go(f"{page.base}/drift")
    changes: dict[str, Callable[[list[Rule]], list[Rule]]] = {
        "map": lambda rules: _mapped(page, rules, field, request.form.get("target", "")),
        "take_out": lambda rules: _without(rules, name),
    }
    try:
        with transaction():
            mappings.change_rules(
                who.tenant_id, installation_id, stream, changes.get(pressed, lambda rules: rules),
                fields=list(page.fields.values()), user_id=who.user.id,
            )  # fmt: skip
            if page.setup:
                drift.tidy(who.tenant_id, installation_id, stream)
    except MappingError as error:
        return _show(page, status=422, message=f"{error.problems[0].message} {error.problems[0].fix}")
    return go(f"{page.base}/drift")


def _mapped(page: Page, rules: list[Rule], field: AccountField, target: str) -> list[Rule]:
    wanted = page.target(target)
    if any(rule.target == target for rule in rules):
        return rules
    step = suggest_transform(field.type, wanted.type)
    return [*rules, Rule(target, (field.name,), (step,) if step else ())]


def _without(rules: list[Rule], name: str) -> list[Rule]:
    """Return the rules without a source; a rule that has no other goes with it."""
    left = [replace(rule, sources=tuple(source for source in rule.sources if source != name)) for rule in rules]
    return [rule for rule, old in zip(left, rules, strict=True) if rule.sources or rule.sources == old.sources]
