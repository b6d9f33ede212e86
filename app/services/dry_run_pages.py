"""Pages of a dry run: what the engine would do with them, by the same plan, with nothing locked and nothing written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.ids import new_ids
from app.services import dry_run_there, page_echoes, page_writes, pages
from app.services.dry_run_tally import Tally, Words
from app.services.object_types import get_object_type, list_fields
from app.services.page_context import PageContext
from app.services.page_writes import Raw
from app.services.pages import Prepared
from app.sync.dry_run import Memory
from app.sync.outbound import Abilities
from app.sync.plan import Incoming, Known, Linked, plan_page
from connectors.sdk import Manifest


@dataclass(frozen=True)
class Sight:
    """A stream as a dry run looks at it."""

    context: PageContext
    words: Words
    abilities: Abilities


def sight_of(context: PageContext, manifest: Manifest) -> Sight:
    """Return what the pages of a stream have in common for a dry run."""
    fields = list_fields(context.object_type)
    words = Words(
        {field.name: field.label for field in fields}, get_object_type(context.object_type).title_field,
        frozenset(field.name for field in fields if field.sensitive),
    )  # fmt: skip
    return Sight(context, words, dry_run_there.abilities_of(context, manifest))


def look_at(sql: Raw, sight: Sight, prepared: Prepared, memory: Memory, tally: Tally) -> None:
    """Plan pages as a run would after all that went before, count what would come of it, and remember it."""
    _set_up(sql)
    context = sight.context
    links = page_writes.find_links(sql, context, list(prepared.records)) if prepared.records else {}
    memory.shown.update(external_id for external_id, link in links.items() if not link.deleted)
    news = {
        external_id: links.get(external_id)
        for external_id, source_hash in prepared.hashes.items()
        if memory.is_news(external_id, links.get(external_id), source_hash, context.mapping_version)
    }
    found = pages.sort(context, prepared, news)
    known = _known(sql, context, found.incoming, {name: link for name, link in news.items() if link}, memory)
    plan = plan_page(
        found.incoming, known, context.directions, new_ids(len(found.incoming)) if found.incoming else [],
        began=prepared.began, trusted_clock=context.trusted_clock,
    )  # fmt: skip
    memory.note(plan)
    tally.add(sight.words, prepared, found, plan, pages.count(context, prepared, found, plan))
    dry_run_there.add_changed(sight.words, context, sight.abilities, plan, tally)
    if plan.conflicts and tally.wants_matches:
        hits = [hit for _, hits in plan.conflicts[:5] for hit in hits[:5]]
        held = memory.held(page_writes.hold_records(sql, context, hits, lock=False), hits)
        tally.note_matches(sight.words, plan, {i: sight.words.title(r.data, str(i)) for i, r in held.items()})


def _set_up(sql: Raw) -> None:
    # As page_writes.open_page: a plan of its own for each page. That nothing is written PostgreSQL sees to.
    sql.execute(
        "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)"
    )


def _known(
    sql: Raw, context: PageContext, incoming: Sequence[Incoming], links: Mapping[str, Linked], memory: Memory
) -> Known:
    keys = [key for item in incoming if item.external_id not in links for key in item.keys]
    matches = memory.matches(page_writes.find_matches(sql, context, keys, lock=False), keys) if keys else {}
    wanted = {links[item.external_id].record_id for item in incoming if item.external_id in links}
    wanted.update(hits[0] for hits in matches.values() if len(hits) == 1)
    absent = sorted(wanted - memory.touched.keys())
    held = page_writes.hold_records(sql, context, absent, lock=False) if absent else {}
    echoes = page_echoes.find(sql, context, list(links)) if links and context.out else {}
    return Known(links, memory.held(held, wanted), matches, echoes)


def look_beyond(
    sql: Raw, sight: Sight, memory: Memory, tally: Tally, *, read_all: bool, began: datetime, limit: int
) -> None:  # fmt: skip
    """Count what no page shows, once a stream is read: what only the host has, and what is gone on either side."""
    _set_up(sql)
    context = sight.context
    dry_run_there.add_created(sql, sight.words, context, sight.abilities, memory, tally, limit=limit)
    tally.there["delete"] = dry_run_there.count_deleted(sql, context, sight.abilities, memory)
    tally.missing = None
    if context.delete_policy == "ignore":
        tally.missing = 0
    elif read_all:
        tally.missing = _count_gone(sql, context, memory, began)


def _count_gone(sql: Raw, context: PageContext, memory: Memory, began: datetime) -> int:
    """Return how many joined records the other side has not shown. What joined them since is not in what was read."""
    row = sql.execute(
        "SELECT count(*) FROM links WHERE tenant_id = %b AND installation_id = %b AND stream = %b "
        "AND deleted_at IS NULL AND created_at < %b",
        (context.tenant_id, context.installation_id, context.stream, began),
    ).fetchone()
    return max(0, int(row[0]) - len(memory.shown)) if row else 0
