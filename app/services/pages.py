"""One page of a sync, applied in one transaction: compare with links, write what changed, count, checkpoint.

The caller has opened the transaction and passed the fence. SQL is set-based and goes through psycopg directly
(architecture section 4: figures); no statement is made per record.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.ids import new_ids
from app.services import fleet, page_writes
from app.services.page_writes import Failure
from app.sync.deletes import judge
from app.sync.keys import normalise
from app.sync.plan import Held, Incoming, Linked, digest, plan_page
from connectors.sdk import CompiledMapping, External, Mapped, Page


class DeletesNeedConfirmationError(Exception):
    """The page or pass would delete more than the guard allows; nothing of it has been written."""

    def __init__(self, candidates: int, live: int) -> None:
        super().__init__(f"{candidates} of {live} records would be deleted.")
        self.candidates = candidates
        self.live = live


@dataclass(frozen=True)
class PageContext:
    """Everything about a stream of a run that does not change from page to page."""

    tenant_id: uuid.UUID
    installation_id: uuid.UUID
    stream: str
    object_type: str
    mapping: CompiledMapping
    mapping_version: int
    match_key: str | None
    key_fields: tuple[str, ...]
    writer: str
    delete_policy: str = "mirror"
    run_id: uuid.UUID | None = None
    run_stream_id: uuid.UUID | None = None
    full: bool = False
    confirmed: bool = False


@dataclass
class Counts:
    """What became of the records of a page."""

    read: int = 0
    created: int = 0
    updated: int = 0
    linked: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0
    conflicts: int = 0


@dataclass(frozen=True)
class Prepared:
    """A page with what can be computed before its transaction: each record's hash and, where asked for, its mapping."""

    page: Page
    records: dict[str, External]
    hashes: dict[str, bytes]
    mapped: dict[str, Mapped]


def prepare(mapping: CompiledMapping, page: Page, *, map_all: bool) -> Prepared:
    """Prepare `page`; `map_all` where most of its records are likely to have changed. Needs no database."""
    records = {record.id: record for record in page.records}
    hashes = {external_id: digest(record.data) for external_id, record in records.items()}
    mapped = {external_id: mapping.apply(record.data) for external_id, record in records.items()} if map_all else {}
    return Prepared(page, records, hashes, mapped)


@dataclass
class _Sorted:
    incoming: list[Incoming] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unchanged: int = 0


def apply_page(
    sql: page_writes.Raw, context: PageContext, prepared: Prepared, news: dict[str, Linked | None],
    *, deleted_before: int = 0,
) -> Counts:  # fmt: skip
    """Apply a page, with `news` as open_page has found them; return what became of it.

    DeletesNeedConfirmationError leaves everything as it was.
    """
    page = prepared.page
    links = {external_id: link for external_id, link in news.items() if link}
    found = _sort(context, prepared, news)
    for bad in page.rejected:
        found.failures.append(
            Failure(bad.id or f"page-{page.checkpoint.page}", "no_id", None, bad.reason, "", bad.data)
        )
    counts = Counts(read=len(page.records) + len(page.rejected), unchanged=found.unchanged, failed=len(found.failures))
    gone = _tombstones(sql, context, page.deleted, deleted_before)
    plan = plan_page(found.incoming, links, *_known(sql, context, found.incoming, links))
    counts.deleted = page_writes.delete_links(sql, context, gone, page.checkpoint.page) if gone else 0
    counts.created, counts.updated = len(plan.of("created", "restored")), len(plan.of("updated"))
    counts.linked, counts.conflicts = len(plan.of("linked")), len(plan.conflicts)
    counts.unchanged += len(plan.of("same"))
    with sql.pipeline():
        page_writes.write_records(sql, context, plan)
        page_writes.write_links(sql, context, plan)
        page_writes.write_changes(sql, context, plan, page.checkpoint.page)
        page_writes.write_failures(sql, context, found.failures)
        page_writes.write_conflicts(sql, context, plan)
        page_writes.resolve_failures(sql, context, [write.incoming.external_id for write in plan.writes])
        if context.run_stream_id:
            if context.full:
                page_writes.remember_seen(sql, context, page.checkpoint.page, list(prepared.records))
            checkpoint = {"at": page.checkpoint.to_json(), "last": page.last}
            page_writes.advance(sql, context, vars(counts), page.total, checkpoint)
    if counts.failed or counts.conflicts:
        fleet.touch(context.tenant_id, context.installation_id)
    return counts


def _sort(context: PageContext, prepared: Prepared, news: dict[str, Linked | None]) -> _Sorted:
    found = _Sorted(unchanged=len(prepared.records) - len(news))
    for external_id, record in prepared.records.items():
        if external_id not in news:
            continue
        mapped = prepared.mapped.get(external_id) or context.mapping.apply(record.data)
        if mapped.failed:
            found.failures.append(_failure(record, mapped.problems))
            continue
        key = normalise(mapped.values.get(context.match_key)) if context.match_key else None
        found.incoming.append(Incoming(external_id, mapped.values, prepared.hashes[external_id], record.version, key))
    return found


def _failure(record: External, problems: Sequence[Any]) -> Failure:
    first = problems[0]
    return Failure(record.id, "mapping_failed", first.field, first.message, _title(record.data), record.data)


def _title(data: dict[str, Any]) -> str:
    inner = data.get("properties") if isinstance(data.get("properties"), dict) else data
    parts = [inner.get(name) for name in ("firstname", "first_name", "lastname", "last_name")] if inner else []
    text = " ".join(str(part) for part in parts if part)
    return (text or str((inner or {}).get("name") or (inner or {}).get("email") or ""))[:120]


def _known(
    sql: page_writes.Raw, context: PageContext, incoming: list[Incoming], links: dict[str, Linked]
) -> tuple[dict[uuid.UUID, Held], dict[str, tuple[uuid.UUID, ...]], list[uuid.UUID]]:
    unlinked = [item.key for item in incoming if item.key and item.external_id not in links]
    matches = page_writes.find_matches(sql, context, unlinked) if unlinked else {}
    wanted = {links[item.external_id].record_id for item in incoming if item.external_id in links}
    wanted.update(hits[0] for hits in matches.values() if len(hits) == 1)
    held = page_writes.hold_records(sql, context, sorted(wanted)) if wanted else {}
    return held, matches, new_ids(len(incoming)) if incoming else []


def _tombstones(sql: page_writes.Raw, context: PageContext, deleted: Sequence[str], before: int) -> list[str]:
    if not deleted or context.delete_policy == "ignore":
        return []
    gone = [name for name, link in page_writes.find_links(sql, context, list(deleted)).items() if not link.deleted]
    live = page_writes.count_live(sql, context) if gone else 0
    verdict = judge(before + len(gone), before + live, seen=None, confirmed=context.confirmed)
    if verdict.ask:
        raise DeletesNeedConfirmationError(before + len(gone), before + live)
    return gone
