"""What a dry run has promised of the first run: kept with the stream until a run has kept it, checked on the way."""

import uuid
from collections.abc import Mapping
from typing import Any

from flask import current_app
from sqlalchemy import select

from app.db import db
from app.models.installations import InstallationStream
from app.models.runs import Run, RunStream
from app.services import intents
from app.services.page_context import Counts, PageContext, QuestionError
from app.services.page_writes import Raw
from app.sync.promise import Promise, broken, left_of

# Kind of change -> what is said of it: "This run would <..>".
WORDS = {
    "created": "create {} {stream} in {host}", "linked": "join {} {stream} with records of {host}",
    "updated": "change {} {stream} in {host}", "conflicts": "open {} conflicts of {stream}",
    "create_there": "create {} {stream} in {vendor}", "update_there": "change {} {stream} in {vendor}",
}  # fmt: skip


def of_pass(installed: InstallationStream, run: Run | None, run_stream: RunStream | None) -> Promise | None:
    """Return what a pass is held to: nothing unless it reads all, or once a person has let the run go on."""
    if run is None or run_stream is None or run_stream.mode != "full" or run.promise_confirmed:
        return None
    return installed.promise


def check(context: PageContext, before: Counts | None, counts: Counts) -> None:
    """Raise QuestionError when a page, after what its run has counted `before`, would break the promise."""
    if context.promise:
        so_far = Counts(**vars(before)) if before else Counts()
        so_far.add(counts)
        _ask(context, _kinds(so_far))


def check_pass(sql: Raw, context: PageContext, counts: Counts) -> None:
    """Raise QuestionError when a pass that is read has broken the promise, or what follows it would."""
    if context.promise:
        there = {"create_there": intents.count_missing(sql, context)} if context.out else {}
        _ask(context, {**_kinds(counts), **there}, over=True)


def _kinds(counts: Counts) -> dict[str, int]:
    return {**vars(counts), "update_there": counts.outgoing}


def _ask(context: PageContext, counts: Mapping[str, int], *, over: bool = False) -> None:
    found = broken(context.promise or {}, counts, over=over)
    if found:
        raise QuestionError(
            "promise", stream=context.stream, what=found.kind, predicted=[found.least, found.most], now=found.now
        )


def carry_over(tenant_id: uuid.UUID, run: Run) -> None:
    """A run ends before its time: the next one is held to what this one has left of the promise."""
    db.session.flush()
    rows = db.session.execute(
        select(InstallationStream, RunStream)
        .join(
            RunStream,
            (RunStream.tenant_id == InstallationStream.tenant_id) & (RunStream.stream == InstallationStream.stream),
        )
        .where(
            InstallationStream.tenant_id == tenant_id, InstallationStream.installation_id == run.installation_id,
            RunStream.run_id == run.id,
        )
        .execution_options(populate_existing=True)
    )  # fmt: skip
    for installed, stream in rows:
        if not installed.promise:
            continue
        counts = _kinds(Counts(**{name: getattr(stream, name) for name in vars(Counts())}))
        installed.promise = None if run.promise_confirmed else left_of(installed.promise, counts)


def put_question(question: Mapping[str, Any], vendor: str) -> tuple[str, str, str]:
    """Return the problem that a broken promise opens: code, what happened, what to do. `vendor` is the product's name."""
    (least, most), now, words = question["predicted"], question["now"], WORDS[question["what"]]
    named = words.format(
        f"{now:,}", stream=question["stream"], vendor=vendor, host=current_app.extensions["settings"].host_name
    )
    return (
        "promise_ask",
        f"This run would {named}; the dry run predicted {least:,} to {most:,}. The run has stopped.",
        "Look at the run and its records, then let it go on or stop it there.",
    )
