"""The mapping editor: which field of the vendor belongs to which field of the host, with a preview of real records."""

import uuid
from typing import Any

from flask import Blueprint, flash, request
from werkzeug.wrappers import Response

from app.access import requires, viewer
from app.extensions import settings
from app.forms.mappings import read_rule
from app.htmx import go, render, stop_polling
from app.services import connections, installations, listings, mappings, object_types, previews
from app.transaction import transaction
from connectors.sdk import TRANSFORMS, FieldInfo, MappingError, Rule, fits, suggest_rules, suggest_transform

blueprint = Blueprint("mappings", __name__, url_prefix="/installations/<uuid:installation_id>/mapping/<stream>")


def _address(installation_id: uuid.UUID, stream: str, target: str = "") -> str:
    setup = "?setup=1" if request.values.get("setup") else ""
    return f"/installations/{installation_id}/mapping/{stream}{setup}" + (f"#map-{target}" if target else "")


def _rows(
    rules: list[Rule], targets: list[Any], sources: dict[str, dict[str, Any]], match_key: str | None
) -> list[dict[str, Any]]:
    by_target = {rule.target: rule for rule in rules}
    infos = [FieldInfo(f["name"], f["label"], f["type"]) for f in sources.values()]
    suggested = {rule.target: rule for rule in suggest_rules(infos, targets)}
    rows = []
    for target in targets:
        rule = by_target.get(target.name)
        row: dict[str, Any] = {
            "target": target, "rule": rule, "match_key": target.name == match_key,
            "sources": [sources.get(name, {"name": name, "label": name, "type": "unknown", "sample": None}) for name in rule.sources] if rule else [],
            "steps": [(TRANSFORMS[step.name], dict(step.args)) for step in rule.transforms] if rule else [],
            "suggested": suggested.get(target.name) if rule is None else None,
            "misfit": None,
        }  # fmt: skip
        if row["suggested"]:
            row["suggested_source"] = sources[row["suggested"].sources[0]]
        if rule and len(row["sources"]) == 1:
            row["misfit"] = _misfit(row["sources"][0]["type"], rule, target.type)
        rows.append(row)
    return sorted(rows, key=lambda row: (row["rule"] is None, row["suggested"] is None))


def _misfit(kind: str, rule: Rule, target_type: str) -> str | None:
    """Return the transform that would make the types fit, None when they do or the row says how to."""
    for step in rule.transforms:
        kind = TRANSFORMS[step.name].gives or kind
    changed = any(step.name in ("value_table", "date_parse", "boolean", "number") for step in rule.transforms)
    if kind == "unknown" or changed or fits(kind, target_type) or rule.on_error == "skip_field":
        return None
    proposed = suggest_transform(kind, target_type)
    return proposed.name if proposed and proposed.name != "trim" else None


def _page(
    installation_id: uuid.UUID, stream: str, *, status: int = 200, errors: dict[str, str] | None = None
) -> Response:
    tenant_id = viewer().tenant_id
    installation = installations.get_installation(tenant_id, installation_id)
    installed = mappings.get_stream(tenant_id, installation_id, stream)
    manifest = listings.manifest_of(installation.listing_version_id)
    declared = manifest.stream(stream)
    rules = mappings.current_rules(tenant_id, installation_id, stream)
    targets = object_types.fields_of(installed.object_type)
    sources = {f["name"]: f for f in mappings.source_fields(installed, list(declared.fields))}
    preview = previews.find_latest(tenant_id, installation_id, "sample", stream)
    setup = bool(request.values.get("setup")) and installation.state == "setting_up"
    return render(
        "mappings/setup.html" if setup else "mappings/show.html", status=status, installation=installation,
        manifest=manifest, stream=declared, streams=[s for s in installations.list_streams(tenant_id, installation_id) if s.enabled],
        rows=_rows(rules, targets, sources, declared.match_key), sources=sources, transforms=TRANSFORMS, setup=setup,
        mapped=len(rules), preview=preview, errors=errors or {}, step="map", host_name=settings().host_name,
        connection=connections.get_connection(tenant_id, installation.connection_id),
        versions=mappings.list_versions(tenant_id, installation_id, stream), installed=installed,
        required=[t for t in targets if t.required], index=int(request.args.get("record", "0") or 0) if request.args.get("record", "0").isdigit() else 0,
    )  # fmt: skip


@blueprint.get("")
@requires("member")
def show(installation_id: uuid.UUID, stream: str) -> Response:
    who = viewer()
    mappings.get_stream(who.tenant_id, installation_id, stream)  # NotFoundError for one that is not theirs
    if previews.find_latest(who.tenant_id, installation_id, "sample", stream) is None and who.may("admin"):
        _ask(installation_id, stream)
    return _page(installation_id, stream)


def _ask(installation_id: uuid.UUID, stream: str) -> None:
    with transaction():
        previews.ask(viewer().tenant_id, installation_id, "sample", stream=stream)


@blueprint.get("/preview")
@requires("member")
def preview(installation_id: uuid.UUID, stream: str) -> Response:
    found = previews.find_latest(viewer().tenant_id, installation_id, "sample", stream)
    number = request.args.get("record", "0")
    response = render(
        "mappings/_preview.html", preview=found, index=int(number) if number.isdigit() else 0, host_name=settings().host_name,
        base=f"/installations/{installation_id}/mapping/{stream}",
    )  # fmt: skip
    return stop_polling(response) if found is None or found.state != "waiting" else response


@blueprint.post("/rules/<target>")
@requires("admin")
def save(installation_id: uuid.UUID, stream: str, target: str) -> Response:
    who = viewer()
    rules = mappings.current_rules(who.tenant_id, installation_id, stream)
    present = next((rule for rule in rules if rule.target == target), None)
    rest = [rule for rule in rules if rule.target != target]
    sent = request.form.to_dict()
    kept = rest if sent.get("do") == "remove" or not sent.get("source") else [*rest, read_rule(target, sent, present)]
    order = {rule.target: index for index, rule in enumerate(rules)}
    try:
        with transaction():
            mappings.save_rules(
                who.tenant_id, installation_id, stream, sorted(kept, key=lambda rule: order.get(rule.target, 999)),
                user_id=who.user.id,
            )  # fmt: skip
            previews.ask(who.tenant_id, installation_id, "sample", stream=stream)
    except MappingError as error:
        return _page(
            installation_id, stream, status=422, errors={p.field: f"{p.message} {p.fix}" for p in error.problems}
        )
    return go(_address(installation_id, stream, target))


@blueprint.post("/reset")
@requires("admin")
def reset(installation_id: uuid.UUID, stream: str) -> Response:
    who = viewer()
    with transaction():
        installation = installations.get_installation(who.tenant_id, installation_id)
        default = listings.manifest_of(installation.listing_version_id).stream(stream).rules()
        mappings.save_rules(who.tenant_id, installation_id, stream, default, user_id=who.user.id)
        previews.ask(who.tenant_id, installation_id, "sample", stream=stream)
    flash("The mapping is back to its default.")
    return go(_address(installation_id, stream))
