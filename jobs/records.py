"""One external record, read afresh and applied alone: after a failure, a write of ours, or a change noticed late."""

from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import now
from app.db import clock_offset
from app.services import page_writes, pages, passes, problems, runs, tasks
from app.services.page_context import Counts, PageContext
from app.services.tasks import Again, Done, LeasedTask, Outcome
from app.sync.retry import decide
from app.transaction import outside, transaction
from connectors.sdk import Checkpoint, Connector, ConnectorError, External, Page, Session
from jobs.drain import Slice
from jobs.vendor import vendor_session


def read_record(task: LeasedTask, _slice: Slice) -> Outcome:
    """Read the record that the task's key names (installation:stream:external id) and apply it as it is now.

    One that is gone is left to tombstones and full passes: only these delete.
    """
    assert task.ref is not None
    _, stream, external_id = task.key.split(":", 2)
    with transaction():
        tasks.fence(task)
        installation = runs.get_installation(task.tenant_id, task.ref)
        if installation.state != "active" or installation.blocked_code:
            passes.get_installed(task.tenant_id, task.ref, stream).full_pass_due = True
            return Done()  # The pass after the pause or the repair reads it.
        offset = clock_offset()
    try:
        connector, session = vendor_session(task.tenant_id, task.ref)
        if connector.manifest.stream(stream).fetch is None:
            return Done()
        began = now() + offset
        record = fetch(connector, session, stream, external_id)
    except ConnectorError as error:
        return Again(now() + timedelta(seconds=decide(error, 0).delay or 300.0))
    if record is not None:
        with transaction():
            installation = runs.get_installation(task.tenant_id, task.ref)
            context = passes.open_context(task.tenant_id, installation, stream, connector.manifest)
        apply_record(task, context, record, began)
        with transaction():
            tasks.fence(task)
            problems.sum_up_conflicts(task.tenant_id, task.ref)
    return Done()


def fetch(connector: Connector, session: Session, stream: str, external_id: str) -> External | None:
    """Return a record as it is at the other side now, None when it is gone there."""
    with outside():
        return connector.fetch(session, stream, external_id)


def apply_record(
    task: LeasedTask, context: PageContext, record: External, began: datetime | None, *, anyway: bool = False
) -> Counts:
    """Apply one record as a page of its own; `began` is when it was asked for, by PostgreSQL's clock.

    `anyway`: also when it is as it was read last, because something that has never been agreed on is to be joined.
    """
    page = Page(records=(record,), deleted=(), checkpoint=Checkpoint.start("incremental", None), last=True)
    prepared = pages.prepare(context, [page], map_all=True, began=began)
    # The checkpoint of a run that meets it in passing stays where it is.
    alone = replace(context, run_stream_id=None)
    with transaction():
        # No link has such a hash: empty is that of a link which our own write has made.
        hashes = dict.fromkeys(prepared.hashes, b"anyway") if anyway else prepared.hashes
        sql, _, news = page_writes.open_page(task, alone.run_id, alone, hashes)
        return pages.apply_pages(sql, alone, prepared, news)
