"""What webhooks have told: the records are fetched as they are now and applied, each one at a time, many in one page."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from flask import current_app

from app.clock import now
from app.db import clock_offset
from app.models.installations import Installation
from app.services import hints, page_writes, pages, passes, problems, runs, silences, tasks
from app.services.hints import Taken
from app.services.page_context import PageContext, QuestionError
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import decide
from app.sync.versions import is_newer
from app.transaction import transaction
from connectors.sdk import Checkpoint, Connector, ConnectorError, External, Page, Session, webhooks
from connectors.sdk.reading import one_record
from jobs.drain import Slice
from jobs.records import fetch
from jobs.vendor import vendor_session

# So long one slice fetches; the records it has taken beside its own are not due again before twice that.
_SECONDS = 5.0
_LATER = "Read by the next full pass."
_EMPTY = "What came does not hold the record. The next run reads it."


@dataclass
class _Seen:
    """What the other side has said: records, those that are gone, those no newer than ours, those it has refused, those
    not reached."""

    found: dict[str, External] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    old: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    error: ConnectorError | None = None


def apply_hint(task: LeasedTask, slice_: Slice) -> Outcome:
    """Look at the record that the task's key names (installation:stream:external id), and at others that wait beside it.

    An empty external id asks for the whole stream: a run reads it.
    """
    assert task.ref is not None
    _, stream, external_id = task.key.split(":", 2)
    lease = min(_SECONDS, current_app.extensions["settings"].lease_seconds / 2)
    with transaction():
        tasks.fence(task)
        installation = runs.get_installation(task.tenant_id, task.ref)
        taken = hints.take(task, task.ref, stream, external_id, seconds=2 * lease)
        if installation.state != "active" or installation.blocked_code:
            return _leave(task, taken, [external_id, *taken.beside], _LATER)
        if not external_id:
            return _resync(task, taken)
        if not taken.about:
            return Done()
        offset = clock_offset()
    names = [external_id, *(name for name in taken.beside if name != external_id)]
    try:
        connector, session = vendor_session(task.tenant_id, task.ref)
    except ConnectorError as error:
        return _stumble(task, taken, names, error)
    began = now() + offset
    if connector.manifest.stream(stream).fetch is None:
        seen = _carried(task, taken, connector, names)
    else:
        seen = _fetch(connector, session, stream, names, ends=time.monotonic() + lease, slice_=slice_)
    with transaction():
        context = passes.open_context(task.tenant_id, installation, stream, connector.manifest)
    outcome = _apply(task, installation, context, taken, seen, began)
    if seen.error is not None:
        return _stumble(task, taken, seen.missed, seen.error)
    return Again(now()) if external_id in seen.missed else outcome


def _resync(task: LeasedTask, taken: Taken) -> Outcome:
    assert task.ref is not None
    runs.start_run(task.tenant_id, task.ref, trigger="webhook")
    sql = page_writes.connection()
    hints.settle(sql, task.tenant_id, {"applied": taken.hint_ids([""])})
    silences.hear(task.tenant_id, task.ref)
    return Done()


def _leave(task: LeasedTask, taken: Taken, names: list[str], sentence: str) -> Outcome:
    """Leave the records to the next full pass; the caller has opened the transaction."""
    assert task.ref is not None
    passes.get_installed(task.tenant_id, task.ref, taken.stream).full_pass_due = True
    hints.give_up(task.tenant_id, taken.hint_ids(names), "later", sentence)
    sql = page_writes.connection()
    ours, anew = hints.hold(sql, task, taken)
    hints.end_beside(sql, task, taken, ours - anew, ours & anew)
    return Done()


def _fetch(
    connector: Connector, session: Session, stream: str, names: list[str], *, ends: float, slice_: Slice
) -> _Seen:  # fmt: skip
    seen = _Seen()
    for number, name in enumerate(names):
        if number and (time.monotonic() > ends or slice_.stopping):
            seen.missed += names[number:]
            break
        try:
            record = fetch(connector, session, stream, name)
        except ConnectorError as error:
            if decide(error, 0).kind == "fail":
                seen.refused[name] = error.user_message
                continue
            seen.error, seen.missed = error, names[number:]
            break
        if record is None:
            seen.gone.append(name)
        else:
            seen.found[name] = record
    return seen


def _carried(task: LeasedTask, taken: Taken, connector: Connector, names: list[str]) -> _Seen:
    """Take the records from the deliveries themselves, where they cannot be read one by one: the newest of each, and
    only when it is newer than what we have."""
    seen, hooks = _Seen(), connector.manifest.webhooks
    stream = connector.manifest.stream(taken.stream)
    with transaction():
        bodies = hints.bodies(task.tenant_id, taken.hint_ids(names))
        context = passes.open_context(
            task.tenant_id,
            runs.get_installation(task.tenant_id, taken.installation_id),
            taken.stream,
            connector.manifest,
        )
        links = page_writes.find_links(page_writes.connection(), context, names)
    for body, headers in bodies:
        delivery = webhooks.Delivery("POST", "", headers, body)
        for event in webhooks.events(hooks, delivery) if hooks else ():
            name = event.record_id or ""
            if event.stream != taken.stream or name not in names:
                continue
            if event.action == "delete":
                # The newest comes first: a delete that something newer stands against is not the last word.
                if name not in seen.found and name not in seen.gone:
                    seen.gone.append(name)
                continue
            record = one_record(stream, event.data, {"stream": stream.name}) if event.data else None
            if record is None or name in seen.gone:
                continue
            known = seen.found.get(name)
            link = links.get(name)
            if is_newer(record.version, known.version if known else link.external_version if link else None):
                seen.found[name] = record
            else:
                seen.old.add(name)
    seen.old -= {*seen.found, *seen.gone}
    seen.refused = {name: _EMPTY for name in names if name not in {*seen.found, *seen.gone, *seen.old}}
    return seen


def _apply(
    task: LeasedTask, installation: Installation, context: PageContext, taken: Taken, seen: _Seen, began: datetime
) -> Outcome:
    # Only a telling that it was deleted makes of a record that is gone a delete; else full passes see to it.
    deleted = [name for name in seen.gone if taken.about.get(name, ((), False))[1]]
    page = Page(tuple(seen.found.values()), tuple(deleted), Checkpoint.start("incremental", None), True)
    prepared = pages.prepare(context, [page], map_all=True, began=began)
    handled = {*seen.found, *seen.gone, *seen.old, *seen.refused}
    main = task.key.split(":", 2)[2]
    try:
        with transaction():
            sql, _, news = page_writes.open_page(task, None, context, prepared.hashes)
            ours, anew = hints.hold(sql, task, taken)
            lost = handled - ours - {main}
            if lost:
                # Another worker has them by now, and looks for itself.
                handled -= lost
                page = replace(
                    page, records=tuple(r for r in page.records if r.id not in lost),
                    deleted=tuple(n for n in page.deleted if n not in lost),
                )  # fmt: skip
                prepared = pages.prepare(context, [page], map_all=True, began=began)
                news = {name: link for name, link in news.items() if name not in lost}
            counts = pages.apply_pages(sql, context, prepared, news)
            changed = {*news, *page.deleted}
            hints.settle(
                sql, task.tenant_id,
                {
                    "applied": taken.hint_ids(handled & changed),
                    "nothing": taken.hint_ids(handled - changed - set(seen.refused)),
                },
            )  # fmt: skip
            for name, sentence in seen.refused.items():
                if name in handled:
                    hints.give_up(task.tenant_id, taken.hint_ids([name]), "failed", sentence)
            hints.end_beside(sql, task, taken, (handled & ours) - anew, anew | (ours & set(seen.missed)))
            silences.hear(task.tenant_id, installation.id)
            if counts.conflicts:
                problems.sum_up_conflicts(task.tenant_id, installation.id)
    except QuestionError:
        with transaction():
            tasks.fence(task)
            runs.queue_sync(task.tenant_id, installation.id)
            return _leave(task, taken, sorted(handled), "So many deletes are asked about by the next full pass.")
    return Done()


def _stumble(task: LeasedTask, taken: Taken, names: Iterable[str], error: ConnectorError) -> Outcome:
    """The other side does not answer now: all later; where only a person can help, a run says so."""
    names, decision = list(names), decide(error, 0)
    with transaction():
        tasks.fence(task)
        if decision.kind in ("wait", "again"):
            hints.put_off(task.tenant_id, taken, names, decision.delay)
            return Again(now() + timedelta(seconds=decision.delay))
        assert task.ref is not None
        runs.queue_sync(task.tenant_id, task.ref)
        return _leave(task, taken, names, error.user_message)
