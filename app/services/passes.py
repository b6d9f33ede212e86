"""A pass: one stream read from its first page to its last, within a run."""

import uuid
from dataclasses import fields

from app.clock import now
from app.db import db
from app.ids import new_id
from app.models.installations import Installation, InstallationStream, Mapping
from app.models.runs import PassPage, Run, RunStream
from app.services import intents, page_deletes, page_failures, page_writes, promises, stream_fields
from app.services.object_types import key_fields, list_fields, target_of
from app.services.page_context import Counts, PageContext, QuestionError
from app.services.sensitive_fields import hidden_names, hidden_targets
from app.sync.deletes import judge, shows_all
from app.sync.merge import Directions
from app.tenancy import scoped
from connectors.sdk import Checkpoint, CompiledMapping, Manifest, compile_filters, compile_mapping, rules_from_json


def list_streams(tenant_id: uuid.UUID, run_id: uuid.UUID) -> list[RunStream]:
    """Return the streams of a run in the order they are read."""
    query = scoped(RunStream, tenant_id).where(RunStream.run_id == run_id).order_by(RunStream.position)
    return list(db.session.scalars(query))


def get_installed(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str) -> InstallationStream:
    """Return the installation's row of a stream."""
    return db.session.scalars(
        scoped(InstallationStream, tenant_id).where(
            InstallationStream.installation_id == installation_id, InstallationStream.stream == stream
        )
    ).one()


def open_context(
    tenant_id: uuid.UUID, installation: Installation, stream: str, manifest: Manifest,
    *, run: Run | None = None, run_stream: RunStream | None = None,
) -> PageContext:  # fmt: skip
    """Return what the pages of a stream have in common: compiled mapping, keys, policy."""
    installed = get_installed(tenant_id, installation.id, stream)
    version = run_stream.mapping_version if run_stream else installed.mapping_version
    mapping = db.session.scalars(
        scoped(Mapping, tenant_id).where(
            Mapping.installation_id == installation.id, Mapping.stream == stream, Mapping.version == version
        )
    ).one()
    declared, ours = manifest.stream(stream), list_fields(installed.object_type)
    targets, rules = [target_of(field) for field in ours], rules_from_json(mapping.rules)
    match_keys = tuple(key for key in (declared.match_key, declared.second_key) if key)
    compiled = compile_mapping(
        rules, targets, direction=installed.direction,
        sources=stream_fields.of_stream(installed, declared),
    )  # fmt: skip
    return PageContext(
        tenant_id=tenant_id,
        installation_id=installation.id,
        stream=stream,
        object_type=installed.object_type,
        mapping=compiled,
        mapping_version=version,
        match_keys=match_keys,
        key_fields=tuple(dict.fromkeys((*key_fields(ours), *match_keys))),
        hidden=frozenset(hidden_names(ours) | hidden_targets(rules, declared)),
        writer=installation.name,
        directions=_directions(compiled, installed),
        outs=intents.outs_of(tenant_id, installed.object_type),
        left_out=compile_filters(mapping.filters, targets) if mapping.filters else None,
        trusted_clock=declared.trusted_clock,
        tombstones=declared.deleted is not None,
        delete_policy=installed.delete_policy,
        run_id=run.id if run else None,
        run_stream_id=run_stream.id if run_stream else None,
        full=bool(run_stream and run_stream.mode == "full"),
        confirmed=bool(run and run.confirmed),
        promise=promises.of_pass(installed, run, run_stream),
    )


def _directions(mapping: CompiledMapping, installed: InstallationStream) -> Directions:
    return Directions(
        incoming=frozenset(mapping.incoming_targets), outgoing=frozenset(mapping.outgoing_targets),
        policy=installed.conflict_policy, policies=mapping.policies,  # type: ignore[arg-type]  # checked by the table
        creates=installed.direction != "out",
    )  # fmt: skip


def open_checkpoint(tenant_id: uuid.UUID, installation_id: uuid.UUID, run_stream: RunStream) -> Checkpoint:
    """Return where the pass goes on: the stored checkpoint, or the start of an incremental or full pass."""
    if run_stream.checkpoint is not None:
        return Checkpoint.from_json(run_stream.checkpoint["at"])
    run_stream.state, run_stream.started_at = "reading", now()
    since = get_installed(tenant_id, installation_id, run_stream.stream).since
    return Checkpoint.start(run_stream.mode, since if run_stream.mode == "incremental" else None)


def is_read(run_stream: RunStream) -> bool:
    """Whether the last page has been applied and only the end of the pass is left to do."""
    return bool(run_stream.checkpoint and run_stream.checkpoint["last"])


def counts_of(run_stream: RunStream) -> Counts:
    """Return what the pages of a pass have counted so far."""
    return Counts(**{item.name: getattr(run_stream, item.name) for item in fields(Counts)})


def finish_pass(context: PageContext, run_stream: RunStream, next_since: str | None) -> None:
    """End a pass: after a full one look for what is gone; then store where the next incremental pass starts.

    QuestionError leaves the pass unfinished, to be ended again after the answer.
    """
    # Pages count past the session: what it remembers of the row is from before the first of them.
    db.session.refresh(run_stream)
    installed = get_installed(context.tenant_id, context.installation_id, context.stream)
    if context.full:
        promises.check_pass(page_writes.connection(), context, counts_of(run_stream))
        installed.promise = None
        # The first pass, and the first after the way of reading has changed, proves nothing gone.
        if installed.last_complete_at is None:
            installed.told_from = new_id()
        else:
            run_stream.deleted += _delete_missing(context, run_stream)
        installed.last_complete_at = now()
        installed.full_pass_due = installed.mapping_version != run_stream.mapping_version
        if context.out:
            installed.missing_after = uuid.UUID(int=0)
            intents.wake(context.tenant_id, context.installation_id)
        page_failures.resolve_unseen(page_writes.connection(), context)
    if not (context.full and context.tombstones and installed.since):
        # A full pass shows no tombstones: those since the pass before are read by the next incremental one.
        installed.since = next_since
    run_stream.state, run_stream.finished_at = "done", now()
    db.session.execute(
        PassPage.__table__.delete().where(
            PassPage.tenant_id == context.tenant_id, PassPage.run_stream_id == run_stream.id
        )
    )


def plan_missing(tenant_id: uuid.UUID, installation: Installation, manifest: Manifest) -> bool:
    """Plan some of what a stream lacks over there after its full pass; return False when no stream waits for that."""
    query = scoped(InstallationStream, tenant_id).where(
        InstallationStream.installation_id == installation.id, InstallationStream.missing_after.is_not(None)
    )
    installed = db.session.scalar(query.limit(1))
    if installed is None or installed.missing_after is None:
        return False
    context = open_context(tenant_id, installation, installed.stream, manifest)
    after = intents.plan_missing(page_writes.connection(), context, installed.missing_after)
    installed.missing_after = after
    return True


def _delete_missing(context: PageContext, run_stream: RunStream) -> int:
    if context.delete_policy == "ignore" or not shows_all(run_stream.read, run_stream.total):
        return 0
    sql = page_writes.connection()
    live, missing, marks = page_deletes.find_missing(sql, context, run_stream.id)
    if not marks:
        return 0
    verdict = judge(len(missing), live, confirmed=context.confirmed)
    if verdict.ask:
        raise QuestionError("deletes", candidates=len(missing), live=live)
    page_deletes.mark_missing(sql, context, run_stream.id)
    return page_deletes.delete_links(sql, context, missing, run_stream.pages) if verdict.apply else 0


def restart(run_stream: RunStream, installation_id: uuid.UUID) -> None:
    """Read the stream in full from the start: its cursor is no longer accepted. Nothing is deleted by that."""
    get_installed(run_stream.tenant_id, installation_id, run_stream.stream).since = None
    run_stream.mode, run_stream.checkpoint, run_stream.state = "full", None, "waiting"
