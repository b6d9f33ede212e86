"""What the pages of a stream's mapping are made of, and what they all show."""

import uuid
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.wrappers import Response

from app.access import viewer
from app.errors import NotFoundError
from app.extensions import settings
from app.htmx import render
from app.models.installations import Installation, Preview
from app.services import (
    connections,
    full_passes,
    installations,
    listings,
    mappings,
    object_types,
    previews,
    stream_fields,
)
from app.services.mappings import Content
from app.services.stream_fields import AccountField
from app.views.mapping_preview import Scene, look_at
from app.views.mapping_rows import Editor, Row, rows_of
from connectors.sdk import (
    TRANSFORMS,
    Manifest,
    TargetField,
    describe_filter,
    diff_rules,
    filter_from_json,
    suggest_rules,
)
from connectors.sdk.manifest import Stream

# With more rows than this the editor has a search; so many are shown unless all are asked for.
MANY, SHOWN = 12, 60


@dataclass(frozen=True)
class Page:
    """What every answer about a stream's mapping is made of."""

    installation: Installation
    manifest: Manifest
    stream: Stream
    content: Content
    targets: list[TargetField]
    fields: dict[str, AccountField]
    sample: Preview | None

    @property
    def setup(self) -> bool:
        """Whether the wizard is not done: edits are in force at once, and nothing has been read yet."""
        return self.installation.state == "setting_up"

    @property
    def base(self) -> str:
        """The address of the editor."""
        return f"/installations/{self.installation.id}/mapping/{self.stream.name}"

    @property
    def records(self) -> list[dict[str, Any]]:
        """The sampled records."""
        return self.sample.result["records"] if self.sample and self.sample.state == "ready" else []

    @property
    def unmapped(self) -> list[AccountField]:
        """The fields of the account that no rule reads."""
        used = {source for rule in self.content.rules for source in rule.sources}
        return [field for field in self.fields.values() if field.name not in used and field.mark != "removed"]

    @property
    def labels(self) -> dict[str, str]:
        """What the fields of the host are called."""
        return {target.name: target.label for target in self.targets}

    @property
    def filter_words(self) -> list[str]:
        """The filters of the stream in words."""
        known = {target.name: target for target in self.targets}
        filters = [filter_from_json(item) for item in self.content.edited.filters]
        return [
            ("only where " if item.mode == "include" else "not where ") + describe_filter(item, known[item.field])
            for item in filters
            if item.field in known
        ]

    def target(self, name: str) -> TargetField:
        """Return a field of the host or raise NotFoundError."""
        found = next((target for target in self.targets if target.name == name), None)
        if found is None:
            raise NotFoundError("There is no such field.")
        return found


def open_page(installation_id: uuid.UUID, stream: str) -> Page:
    """Return the parts of a page about a stream's mapping; NotFoundError for a stream that is not theirs."""
    tenant_id = viewer().tenant_id
    content = mappings.get_content(tenant_id, installation_id, stream)
    installation = installations.get_installation(tenant_id, installation_id)
    manifest = listings.manifest_of(installation.listing_version_id)
    declared = manifest.stream(stream)
    return Page(
        installation, manifest, declared, content, object_types.fields_of(content.installed.object_type),
        {field.name: field for field in stream_fields.of_mapping(content.installed, declared, content.rules)},
        previews.find_latest(tenant_id, installation_id, "sample", stream),
    )  # fmt: skip


def editor_of(page: Page) -> Editor:
    """Return what the rows are made of."""
    rules, fields = page.content.rules, list(page.fields.values())
    present = [field for field in fields if field.mark != "removed"]
    mapped = {rule.target for rule in rules}
    problems = mappings.type_problems(page.content.installed, rules, page.targets, fields)
    return Editor(
        rules=rules, in_force=page.content.rules_in_force, targets=page.targets, fields=page.fields,
        direction=page.content.installed.direction, match_key=page.stream.match_key,
        suggested={r.target: r for r in suggest_rules(present, page.targets) if r.target not in mapped},
        problems={problem.field: problem for problem in reversed(problems)},
        samples=page.records, vendor=page.manifest.listing.name, host=settings().host_name,
    )  # fmt: skip


def show_page(page: Page, row: Row | None = None, *, status: int = 200, **more: Any) -> Response:
    """Return the editor, as a page or its rows alone; `row` stands for the one that is open or was refused."""
    editor = editor_of(page)
    rows = [row if row and row.target == other.target else other for other in rows_of(editor)]
    tenant_id = viewer().tenant_id
    streams = [s for s in installations.list_streams(tenant_id, page.installation.id) if s.enabled]
    loading = previews.find_latest(tenant_id, page.installation.id, "fields", page.stream.name)
    wanted = [other for other in rows if _wanted(other) or other is row]
    shown = wanted if request.args.get("all") or len(wanted) <= SHOWN else [
        other for number, other in enumerate(wanted) if number < SHOWN or other is row
    ]  # fmt: skip
    return render(
        "mappings/setup.html" if page.setup else "mappings/show.html", "mappings/_list.html", status=status,
        shown=shown, hidden=len(wanted) - len(shown), streams=streams, step="map",
        many=len(rows) > MANY, connection=connections.get_connection(tenant_id, page.installation.connection_id),
        loading=loading if request.args.get("loading") else None, **context_of(page, editor, rows), **more,
    )  # fmt: skip


def _wanted(row: Row) -> bool:
    text, show = request.args.get("q", "").strip().casefold(), request.args.get("show", "")
    kinds = {
        "mapped": row.rule is not None, "suggested": row.suggested is not None, "open": row.rule is None,
        "changed": row.changed, "conflicts": row.problem is not None,
    }  # fmt: skip
    words = [row.target.label, row.target.name]
    words += [word for source in (*row.sources, *row.suggested_sources) for word in (source.label, source.name)]
    return kinds.get(show, True) and (not text or any(text in word.casefold() for word in words))


def context_of(page: Page, editor: Editor, rows: list[Row]) -> dict[str, Any]:
    """Return what the templates of the editor need, be it for the page or for a part of it."""
    who, content = viewer(), page.content
    sources = {field.name: field.label for field in page.fields.values()}
    changes = diff_rules(content.rules_in_force, content.rules, sources) if content.draft else []
    cost = full_passes.cost_of(who.tenant_id, page.installation.id, page.stream.name) if changes else None
    return {
        "base": page.base, "fields": page.fields, "installation": page.installation, "manifest": page.manifest, "stream": page.stream,
        "content": content, "editor": editor, "rows": rows, "setup": page.setup, "host_name": editor.host,
        "transforms": TRANSFORMS, "changes": changes, "cost": cost, "admin": who.may("admin"), "targets": page.labels,
        "required": [t for t in page.targets if t.required], "unmapped": page.unmapped,
        "filter_words": page.filter_words, **preview_of(page),
    }  # fmt: skip


def preview_of(page: Page, look: uuid.UUID | None = None) -> dict[str, Any]:
    """Return what the preview shows: the chosen one of the sampled records, or the one that was looked up."""
    number, way = request.values.get("record", "0"), request.values.get("way", "in")
    asked = str(look) if look else request.values.get("look", "")
    records, preview = page.records, page.sample
    if asked:
        looked_up = previews.find_latest(viewer().tenant_id, page.installation.id, "lookup", page.stream.name)
        if looked_up is not None and str(looked_up.id) == asked:
            records, preview = looked_up.result.get("records") or [], looked_up
    index = int(number) % len(records) if records and number.isdecimal() else 0
    scene = Scene(
        page.content, page.targets, page.fields, page.stream.match_key,
        object_types.get_object_type(page.content.installed.object_type).title_field, settings().host_name,
        page.manifest.listing.name,
    )  # fmt: skip
    return {
        "preview": preview, "records": records, "index": index, "way": "out" if way == "out" else "in", "asked": asked,
        "look": look_at(scene, records[index], way) if records else None,
        "here": records[index]["values"] if records else {},
    }  # fmt: skip
