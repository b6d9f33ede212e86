"""One page of a sync, applied in one transaction: compare with links, write what changed, count, checkpoint.

The caller has opened the transaction and passed the fence. SQL is set-based and goes through psycopg directly
(architecture section 4: figures); no statement is made per record.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from app.ids import new_ids
from app.services import (
    fleet,
    intents,
    page_conflicts,
    page_creates,
    page_deletes,
    page_echoes,
    page_failures,
    page_writes,
    promises,
    runs,
)
from app.services.page_context import Counts, PageContext, QuestionError
from app.services.page_failures import Failure
from app.services.page_writes import Raw
from app.sync.deletes import judge
from app.sync.hashes import digest
from app.sync.keys import keys_in, normalise
from app.sync.plan import Incoming, Known, Linked, Plan, plan_page
from connectors.sdk import External, Mapped, Page

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Filtered:
    """A record that a filter leaves out, and why."""

    external_id: str
    reason: str


Made = Incoming | Failure | Filtered


@dataclass(frozen=True)
class Prepared:
    """Pages that are applied together, with what can be computed before: each record's hash and, if asked for, mapping.

    `began` is when the first of them was asked for, by PostgreSQL's clock; None where that does not matter.
    """

    pages: tuple[Page, ...]
    records: dict[str, External]
    hashes: dict[str, bytes]
    made: dict[str, Made]
    began: datetime | None = None

    @property
    def end(self) -> Page:
        """The last of the pages."""
        return self.pages[-1]


def prepare(
    context: PageContext, pages: Sequence[Page], *, map_all: bool, began: datetime | None = None
) -> Prepared:  # fmt: skip
    """Prepare pages; `map_all` where most of their records are likely to have changed. Needs no database."""
    records: dict[str, External] = {}
    for page in pages:
        records |= {record.id: record for record in page.records}
        for external_id in page.deleted:
            records.pop(external_id, None)
    hashes = {external_id: digest(record.data) for external_id, record in records.items()}
    made = {name: _make(context, record, hashes[name]) for name, record in records.items()} if map_all else {}
    return Prepared(tuple(pages), records, hashes, made, began)


def _make(context: PageContext, record: External, source_hash: bytes) -> Made:
    mapped = context.mapping.apply(record.data)
    return _failure(context, record, mapped) if mapped.failed else _take(context, record, source_hash, mapped.values)


def _take(
    context: PageContext, record: External, source_hash: bytes, values: dict[str, Any],
    given: Mapping[str, Any] = _NOTHING,
) -> Incoming | Filtered:  # fmt: skip
    """Return a record whose values fit, unless a filter leaves it out; `given` are those that a person has corrected."""
    whole = {**values, **given} if given else values
    reason = context.left_out(whole) if context.left_out else None
    if reason:
        return Filtered(record.id, reason)
    keys = keys_in(whole, context.match_keys)
    return Incoming(record.id, values, source_hash, record.version, keys, record.updated_at, given)


@dataclass
class Sorted:
    """The records of pages: those to plan for, those that cannot be mapped, and those left out."""

    incoming: list[Incoming] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unchanged: int = 0
    filtered: list[Filtered] = field(default_factory=list)

    def add(self, made: Made) -> None:
        """Add one record where it belongs."""
        if isinstance(made, Incoming):
            self.incoming.append(made)
        elif isinstance(made, Failure):
            self.failures.append(made)
        else:
            self.filtered.append(made)


def apply_pages(
    sql: Raw, context: PageContext, prepared: Prepared, news: dict[str, Linked | None],
    *, before: Counts | None = None,
) -> Counts:  # fmt: skip
    """Apply pages, with `news` as open_page has found them; `before` is what the run has counted so far.

    A record that we have written to since it was asked for is read again, by a task of its own.
    QuestionError leaves everything as it was.
    """
    links = {external_id: link for external_id, link in news.items() if link}
    found, page = sort(context, prepared, news), prepared.end.checkpoint.page
    _correct(sql, context, prepared, found)
    # First, so that what was made anew with the key of a deleted one does not join that.
    gone = _tombstones(sql, context, prepared, before or Counts())
    deleted = page_deletes.delete_links(sql, context, gone, page) if gone else 0
    known = _known(sql, context, found.incoming, links)
    plan = plan_page(
        found.incoming, known, context.directions, new_ids(len(found.incoming)) if found.incoming else [],
        began=prepared.began, trusted_clock=context.trusted_clock,
    )  # fmt: skip
    counts = count(context, prepared, found, plan)
    promises.check(context, before, counts)
    counts.deleted = deleted
    with sql.pipeline():
        healed = _write(sql, context, plan, found, page)
        if context.run_stream_id:
            if context.full:
                page_writes.remember_seen(sql, context, page, list(prepared.records))
            end = prepared.end
            checkpoint = {"at": end.checkpoint.to_json(), "last": end.last}
            page_writes.advance(sql, context, vars(counts), len(prepared.pages), end.total, checkpoint)
    pass_on(sql, context, plan, healed={row[0] for row in healed})
    for external_id in plan.stale:
        runs.queue_read(context.tenant_id, context.installation_id, context.stream, external_id)
    if counts.failed or counts.conflicts:
        fleet.touch(context.tenant_id, context.installation_id)
    return counts


def count(context: PageContext, prepared: Prepared, found: Sorted, plan: Plan) -> Counts:
    """Return what becomes of the records of pages; deletes are counted where they are made."""
    return Counts(
        read=sum(len(page.records) + len(page.rejected) for page in prepared.pages),
        created=len(plan.of("created", "restored")), updated=len(plan.of("updated")), linked=len(plan.of("linked")),
        unchanged=found.unchanged + len(plan.of("same")) + len(plan.stale) + plan.left,
        filtered=len(found.filtered), failed=len(found.failures),
        conflicts=len(plan.conflicts) + sum(bool(write.open or write.revived) for write in plan.writes),
        outgoing=sum(write.sends for write in plan.writes) if context.out else 0,
    )  # fmt: skip


def _write(sql: Raw, context: PageContext, plan: Plan, found: Sorted, page: int) -> Iterable[tuple[str]]:
    alone, rest = page_creates.split(plan)
    page_creates.create(sql, context, alone, page)
    page_writes.write_records(sql, context, rest)
    page_writes.write_links(sql, context, rest)
    page_writes.write_changes(sql, context, rest, page)
    page_failures.write_failures(sql, context, found.failures)
    page_conflicts.write_conflicts(sql, context, plan)
    known = [write.incoming.external_id for write in plan.writes]
    healed = page_failures.resolve_failures(sql, context, known)
    linked = [write.record_id for write in plan.of("linked")] if context.out else []
    if linked:
        page_failures.resolve_doubts(sql, context, linked)
    met = [w.incoming.external_id for w in plan.writes if w.operation != "created" and not (w.open or w.revived)]
    page_conflicts.settle_agreed(sql, context, met)
    page_echoes.note(sql, context, plan)
    return healed


def pass_on(sql: Raw, context: PageContext, plan: Plan, *, healed: Collection[str] = ()) -> None:
    """Plan what the other sides, and this one, must hear of what a page has changed.

    `healed` are the external ids of records that could not be read until now: what is to be written to them has waited.
    """
    if not context.outs:
        return
    here = context.out
    changed = [write.record_id for write in plan.writes if write.after and write.operation != "created"]
    shared = intents.shared(sql, context, changed) if here and changed else set()
    rows = [
        (out, write.record_id)
        for write in plan.writes
        for out in context.outs
        if (
            write.sends or write.record_id in shared or write.incoming.external_id in healed
            if out == here
            else write.operation in ("created", "restored") or write.after
        )
    ]
    intents.plan(sql, context.tenant_id, rows, cause=context.writer)


def sort(context: PageContext, prepared: Prepared, news: Mapping[str, Linked | None]) -> Sorted:
    """Map the records that are `news` and sort them; the others are as they were."""
    found, page = Sorted(unchanged=len(prepared.records) - len(news)), prepared.end.checkpoint.page
    rejected = [bad for page in prepared.pages for bad in page.rejected]
    found.failures += [
        Failure(bad.id or f"page-{page}-{n}", "no_id", None, bad.reason, "", bad.data) for n, bad in enumerate(rejected)
    ]
    for external_id, record in prepared.records.items():
        if external_id in news:
            found.add(prepared.made.get(external_id) or _make(context, record, prepared.hashes[external_id]))
    return found


def _correct(sql: Raw, context: PageContext, prepared: Prepared, found: Sorted) -> None:
    """Take the records that a person has put right: the same bad value as then, and another one given for it."""
    bad = [failure.external_id for failure in found.failures if failure.code == "mapping_failed"]
    own = page_failures.find_given(sql, context, bad) if bad else {}
    for external_id, corrections in own.items():
        record = prepared.records[external_id]
        mapped = context.mapping.apply(record.data)
        given, left = {}, []
        for problem in mapped.problems:
            known = corrections.get(problem.field)
            if known and known.instead_of == context.sentence(problem)[: page_failures.MESSAGE]:
                given[problem.field] = known.value
            else:
                left.append(problem)
        found.failures = [failure for failure in found.failures if failure.external_id != external_id]
        if any(problem.field in context.mapping.needed for problem in left):
            rest = Mapped(mapped.values, tuple(left), failed=True)
            found.failures.append(_failure(context, record, rest))
        else:
            found.add(_take(context, record, prepared.hashes[external_id], mapped.values, given))


def _failure(context: PageContext, record: External, mapped: Mapped) -> Failure:
    first, key = mapped.problems[0], context.match_key
    # What cannot be mapped is looked for as it was sent.
    bad = {problem.field: problem.value for problem in mapped.problems}
    value = normalise({**bad, **mapped.values}.get(key)) if key else None
    said, title = context.sentence(first), title_of(record.data)
    return Failure(record.id, "mapping_failed", first.field, said, title, record.data, value)


def title_of(data: dict[str, Any]) -> str:
    """Return what a record of the other side may be called, an empty text where nothing in it looks like a name."""
    inner = data.get("properties") if isinstance(data.get("properties"), dict) else data
    parts = [inner.get(name) for name in ("firstname", "first_name", "lastname", "last_name")] if inner else []
    text = " ".join(str(part) for part in parts if part)
    return (text or str((inner or {}).get("name") or (inner or {}).get("email") or ""))[:120]


def _known(sql: Raw, context: PageContext, incoming: list[Incoming], links: dict[str, Linked]) -> Known:
    unlinked = [key for item in incoming if item.external_id not in links for key in item.keys]
    matches = page_writes.find_matches(sql, context, unlinked) if unlinked else {}
    wanted = {links[item.external_id].record_id for item in incoming if item.external_id in links}
    wanted.update(hits[0] for hits in matches.values() if len(hits) == 1)
    held = page_writes.hold_records(sql, context, sorted(wanted)) if wanted else {}
    echoes = page_echoes.find(sql, context, list(links)) if links and context.out else {}
    return Known(links, held, matches, echoes)


def _tombstones(sql: Raw, context: PageContext, prepared: Prepared, before: Counts) -> list[str]:
    # What a later page shows again is there again.
    deleted = [name for page in prepared.pages for name in page.deleted if name not in prepared.records]
    if not deleted or context.delete_policy == "ignore":
        return []
    gone = [name for name, link in page_writes.find_links(sql, context, deleted).items() if not link.deleted]
    live = page_deletes.count_live(sql, context) if gone else 0
    candidates, total = before.deleted + len(gone), before.deleted + live
    if judge(candidates, total, confirmed=context.confirmed).ask:
        raise QuestionError("deletes", candidates=candidates, live=total)
    return gone
