"""The mapping editor: which field of the vendor belongs to which field of the host."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.forms.mappings import RowForm, added_step, read_row
from app.htmx import go, render, wants_fragment
from app.services import drift, mappings, previews
from app.transaction import transaction
from app.views.mapping_pages import Page, context_of, editor_of, open_page, show_page
from app.views.mapping_rows import Editor, Row, hindrance, make_row, rows_of, ways_of
from connectors.sdk import FieldProblem, MappingError, Rule, TargetField, with_proposal

blueprint = Blueprint("mappings", __name__, url_prefix="/installations/<uuid:installation_id>/mapping/<stream>")


@blueprint.get("")
@requires("member")
def show(installation_id: uuid.UUID, stream: str) -> Response:
    page = open_page(installation_id, stream)
    if page.sample is None and viewer().may("admin") and page.installation.state != "removed":
        with transaction():
            previews.ask(viewer().tenant_id, installation_id, "sample", stream=stream)
        page = open_page(installation_id, stream)
    return show_page(page)


@blueprint.get("/unmapped")
@requires("member")
def unmapped(installation_id: uuid.UUID, stream: str) -> Response:
    page = open_page(installation_id, stream)
    text = request.args.get("q", "").strip().casefold()
    found = [field for field in page.unmapped if text in field.label.casefold() or text in field.name.casefold()]
    editor = editor_of(page)
    free = [row.target for row in rows_of(editor) if row.rule is None]
    return render(
        "mappings/unmapped.html", "mappings/_unmapped.html", found=found, free=free, q=request.args.get("q", ""),
        **context_of(page, editor, []),
    )  # fmt: skip


@blueprint.post("/unmapped")
@requires("admin")
def connect(installation_id: uuid.UUID, stream: str) -> Response:
    """Map a field of the account to a field of the host that has no source."""
    page, target = open_page(installation_id, stream), request.form.get("target", "")
    source = page.fields.get(request.form.get("source", ""))
    if source is None:
        return go(f"{page.base}/unmapped")
    return _save(page, target, RowForm(Rule(target, (source.name,)), "row"))


@blueprint.get("/rules/<target>")
@requires("member")
def rule(installation_id: uuid.UUID, stream: str, target: str) -> Response:
    page = open_page(installation_id, stream)
    return _row(page, editor_of(page), page.target(target), request.args.get("part", ""))


def _row(page: Page, editor: Editor, target: TargetField, part: str) -> Response:
    row = make_row(editor, target, editor.rule_of(target.name))
    if viewer().may("admin"):
        _open(editor, row, part)
    return _answer(page, editor, row)


def _open(editor: Editor, row: Row, part: str) -> None:
    """Open a part of the row's form."""
    steps = {f"step-{chip.number}" for chip in row.chips}
    row.panel = part if part in {"row", "direction", "add", *steps} else ""
    if row.rule is None:
        row.panel = "row" if part else ""
    elif row.panel == "direction":
        row.ways = ways_of(editor, row.rule, row.target)


def _answer(page: Page, editor: Editor, row: Row, *, status: int = 200) -> Response:
    if not wants_fragment():
        return show_page(page, row, status=status)
    rows = [row if other.target == row.target else other for other in rows_of(editor)]
    return render("mappings/_answer.html", status=status, row=row, **context_of(page, editor, rows))


@blueprint.post("/rules/<target>")
@requires("admin")
def save(installation_id: uuid.UUID, stream: str, target: str) -> Response:
    page = open_page(installation_id, stream)
    editor = editor_of(page)
    form = read_row(target, request.form, editor.rule_of(target))
    if request.form.get("suggested"):
        form.rule = editor.suggested.get(target)
    if request.form.get("do") == "propose":
        form.rule = _proposed(page, form.rule)
    return _save(page, target, form)


def _save(page: Page, target: str, form: RowForm) -> Response:
    editor, chosen = editor_of(page), page.target(target)
    if form.rule is not None and (editor.direction == "in" or request.form.get("do") == "inward"):
        form.rule = _inward(editor, form.rule)
    if form.rule is not None and form.rule.conflict == "newest" and not page.stream.trusted_clock:
        form.rule = replace(form.rule, conflict=None)
    if form.errors:
        return _refused(page, editor, form, chosen)
    try:
        _change(page, lambda rules: _replaced(rules, target, form.rule), typed=(target,))
    except MappingError as error:
        return _refused(page, editor, form, chosen, error.problems)
    return _saved(page, target, form)


def _inward(editor: Editor, rule: Rule) -> Rule:
    """Return a rule that only flows in where it cannot be turned round: nobody is kept from that in a one-way stream."""
    turned = replace(rule, direction="in")
    return turned if hindrance(editor, rule) and not hindrance(editor, turned) else rule


def _change(page: Page, change: Callable[[list[Rule]], list[Rule]], *, typed: Sequence[str] = ()) -> None:
    who = viewer()
    with transaction():
        mappings.change_rules(
            who.tenant_id, page.installation.id, page.stream.name, change, fields=list(page.fields.values()),
            user_id=who.user.id, typed=typed,
        )  # fmt: skip
        if page.setup:
            drift.tidy(who.tenant_id, page.installation.id, page.stream.name, typed)


def _proposed(page: Page, rule: Rule | None) -> Rule | None:
    """Return a rule with the transform that its type conflict asks for."""
    if rule is None:
        return None
    problems = mappings.type_problems(page.content.installed, [rule], page.targets, list(page.fields.values()))
    conflict = next((problem for problem in problems if problem.proposal), None)
    return with_proposal(rule, conflict.proposal) if conflict and conflict.proposal else rule


def _replaced(rules: list[Rule], target: str, rule: Rule | None) -> list[Rule]:
    """Return the rules with one of them changed, taken away, or added at the end."""
    if rule is None:
        return [other for other in rules if other.target != target]
    if any(other.target == target for other in rules):
        return [rule if other.target == target else other for other in rules]
    return [*rules, rule]


def _refused(
    page: Page, editor: Editor, form: RowForm, target: TargetField, problems: Sequence[FieldProblem] = ()
) -> Response:
    """Show the row as it was typed, with what is wrong with it; nothing of it is kept."""
    conflict = next((p for p in problems if p.field == target.name and p.proposal), None)
    row = make_row(editor, target, form.rule, conflict)
    _open(editor, row, form.part or "row")
    row.typed, row.errors = form.typed, dict(form.errors)
    others = [f"{p.message} {p.fix}" for p in problems if p is not conflict]
    if others:
        row.errors[""] = " ".join(others)
        row.may_flow_in = form.rule is not None and _inward(editor, form.rule) != form.rule
    return _answer(page, editor, row, status=422)


def _saved(page: Page, target: str, form: RowForm) -> Response:
    page = open_page(page.installation.id, page.stream.name)
    added = added_step(form.rule, request.form.get("add", "")) if form.rule else None
    moved = form.part if request.form.get("do") in ("earlier", "later") else ""
    part = moved if added is None else f"step-{added}"
    if not wants_fragment():
        return go(f"{page.base}/rules/{target}?part={part}#map-{target}" if part else f"{page.base}#map-{target}")
    return _row(page, editor_of(page), page.target(target), part)


@blueprint.post("/suggested")
@requires("admin")
def suggested(installation_id: uuid.UUID, stream: str) -> Response:
    page = open_page(installation_id, stream)
    found = list(editor_of(page).suggested.values())
    return _change_all(page, lambda rules: [*rules, *found], f"{len(found)} fields are connected.")


@blueprint.post("/reset")
@requires("admin")
def reset(installation_id: uuid.UUID, stream: str) -> Response:
    page = open_page(installation_id, stream)
    return _change_all(page, lambda _: page.stream.rules(), "The mapping is back to its default.")


def _change_all(page: Page, change: Callable[[list[Rule]], list[Rule]], message: str) -> Response:
    try:
        _change(page, change)
    except MappingError as error:
        return show_page(page, status=422, message=f"{error.problems[0].message} {error.problems[0].fix}")
    flash(message)
    return go(page.base)
