"""One external record, read afresh and applied alone: after a failure, a write of ours, or a change noticed late."""

from dataclasses import replace
from datetime import datetime, timedelta

from app.clock import now
from app.services import page_writes, pages
from app.services.page_context import PageContext
from app.services.pages import Applied
from app.services.tasks import LeasedTask
from app.transaction import outside, transaction
from connectors.sdk import Checkpoint, Connector, External, Page, Session


def fetch(connector: Connector, session: Session, stream: str, external_id: str) -> External | None:
    """Return a record as it is at the other side now, None when it is gone there."""
    with outside():
        return connector.fetch(session, stream, external_id)


def reread(
    task: LeasedTask, connector: Connector, session: Session, context: PageContext, external_id: str,
    offset: timedelta,
) -> External | None:  # fmt: skip
    """Read a record again and apply it; return it, None when it is gone (which tombstones and full passes tell).

    A stream without single reads is left to the next pass.
    """
    if connector.manifest.stream(context.stream).fetch is None:
        return None
    began = now() + offset
    record = fetch(connector, session, context.stream, external_id)
    if record is not None:
        apply_record(task, context, record, began)
    return record


def apply_record(task: LeasedTask, context: PageContext, record: External, began: datetime | None) -> Applied:
    """Apply one record as a page of its own."""
    page = Page(records=(record,), deleted=(), checkpoint=Checkpoint.start("incremental", None), last=True)
    prepared = pages.prepare(context.mapping, [page], map_all=True, began=began)
    # The checkpoint of a run that meets it in passing stays where it is.
    alone = replace(context, run_stream_id=None)
    with transaction():
        sql, _, news = page_writes.open_page(task, alone.run_id, alone, prepared.hashes)
        return pages.apply_pages(sql, alone, prepared, news)
