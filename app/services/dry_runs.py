"""Dry runs: read all that a run would, count what would come of it, write nothing, and keep it as a promise."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import null, select, update

from app.clock import now
from app.config import Settings
from app.db import db, write
from app.errors import ConflictError
from app.ids import first_at
from app.models.installations import Installation, InstallationStream, Preview
from app.models.runs import Run, RunStream
from app.services import connections, listings, passes, previews, tasks, vendor_hosts
from app.services.dry_run_pages import Sight, sight_of
from app.services.dry_run_report import report
from app.services.dry_run_state import State, StreamState
from app.services.page_context import Out
from app.services.runs import get_installation, live_run
from app.sync.dry_run import Budget
from app.sync.hashes import digest
from app.tenancy import scoped
from connectors.sdk import Manifest

# One that has not come to its end by then, waits for the vendor included, has failed.
LONGEST = timedelta(minutes=15)
_STOPPED = "The dry run was stopped."
_LOST = "The dry run ended without a result: it failed on our side several times in a row."


@dataclass(frozen=True)
class Shown:
    """A dry run as pages show it: waiting, ready or failed.

    `fits`: nothing that it depends on has been changed since. `overtaken`: a run has written something since.
    """

    state: str
    result: dict[str, Any]
    error: str
    error_fix: str
    asked_at: datetime
    fits: bool
    overtaken: bool = False

    @property
    def stopped(self) -> bool:
        """Whether a person has ended it."""
        return self.state == "failed" and self.error == _STOPPED

    @property
    def finished_at(self) -> datetime | None:
        """When it was ready."""
        at = self.result.get("finished_at")
        return datetime.fromisoformat(at) if at else None

    @property
    def promises(self) -> bool:
        """Whether the next run can be held to it."""
        return self.fits and not self.overtaken and self.state == "ready"


def budget() -> Budget:
    """Return how much a dry run may read."""
    settings: Settings = current_app.extensions["settings"]
    return Budget(settings.dry_run_records, settings.dry_run_seconds)


def _enabled(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[InstallationStream]:
    """Return the streams that are synced, in the order a run reads them."""
    query = scoped(InstallationStream, tenant_id).where(
        InstallationStream.installation_id == installation_id, InstallationStream.enabled
    )
    return list(db.session.scalars(query.order_by(InstallationStream.created_at, InstallationStream.stream)))


def _facts(installation: Installation, streams: Sequence[InstallationStream]) -> str:
    """Return a hash of everything a dry run depends on that a person may change."""
    connection = connections.get_connection(installation.tenant_id, installation.connection_id)
    facts = {
        "version": str(installation.listing_version_id), "settings": installation.settings,
        "account": connection.account_id, "connection": connection.settings,
        "streams": [
            [s.stream, s.mapping_version, s.direction, s.conflict_policy, s.delete_policy] for s in streams
        ],
    }  # fmt: skip
    return digest(facts).hex()


def start(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Preview:
    """Start a dry run, and stop the one before; ConflictError when there is nothing to read or no connection."""
    installation = get_installation(tenant_id, installation_id)
    if connections.get_connection(tenant_id, installation.connection_id).state != "ready":
        raise ConflictError("The connection is not ready. Connect the account first.")
    streams = _enabled(tenant_id, installation_id)
    if not streams:
        raise ConflictError("Nothing is chosen to be synced. Choose some data first.")
    stop(tenant_id, installation_id)
    made = previews.add(tenant_id, installation_id, "dry_run", request={"facts": _facts(installation, streams)})
    host = vendor_hosts.host_of(tenant_id, installation_id)
    tasks.add_task(tenant_id, "sync", "dry_run", str(made.id), ref=made.id, host=host)
    return made


def stop(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Stop the dry run of an installation before its next page; one that is over is left as it is."""
    mine = (Preview.tenant_id == tenant_id, Preview.installation_id == installation_id, Preview.kind == "dry_run")
    stopped = update(Preview).where(*mine, Preview.state == "waiting")
    db.session.execute(stopped.values(state="failed", error=_STOPPED, error_fix="", work=null()))


def find_latest(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> Shown | None:
    """Return the newest dry run that has not expired, None when there is none."""
    found = previews.find_latest(tenant_id, installation_id, "dry_run")
    if found is None:
        return None
    lost = False
    if found.state == "waiting" and not tasks.is_live(tenant_id, "dry_run", str(found.id)):
        # Its task is dead, or has just ended: only what is there after that tells.
        db.session.refresh(found)
        lost = found.state == "waiting"
    facts = _facts(get_installation(tenant_id, installation_id), _enabled(tenant_id, installation_id))
    fits = found.request == {"facts": facts}
    if lost:
        return Shown("failed", {}, _LOST, "Run it again, or tell support.", found.created_at, fits)
    overtaken = found.state == "ready" and _overtaken(tenant_id, installation_id, found.created_at)
    return Shown(
        found.state, found.result, found.error or "", found.error_fix or "", found.created_at, fits, overtaken
    )  # fmt: skip


def _overtaken(tenant_id: uuid.UUID, installation_id: uuid.UUID, began: datetime) -> bool:
    written = RunStream.created + RunStream.updated + RunStream.linked + RunStream.deleted + RunStream.outgoing
    since = (
        select(RunStream.id)
        .join(Run, (Run.tenant_id == RunStream.tenant_id) & (Run.id == RunStream.run_id))
        .where(
            Run.tenant_id == tenant_id, Run.installation_id == installation_id, Run.id > first_at(began), written > 0
        )
    )  # fmt: skip
    return db.session.scalar(since.limit(1)) is not None


def open_state(tenant_id: uuid.UUID, preview_id: uuid.UUID) -> tuple[Preview, State] | None:
    """Return a dry run and where it stands, None when it has been stopped or is over."""
    preview = previews.get(tenant_id, preview_id)
    if preview.state != "waiting":
        return None
    work = db.session.scalar(select(Preview.work).where(Preview.tenant_id == tenant_id, Preview.id == preview_id))
    if work is not None:
        return preview, State.from_json(work)
    installation = get_installation(tenant_id, preview.installation_id)
    manifest = listings.manifest_of(installation.listing_version_id)
    streams = _enabled(tenant_id, preview.installation_id)
    return preview, State([StreamState(s.stream, manifest.stream(s.stream).label, s.object_type) for s in streams])


def open_sight(tenant_id: uuid.UUID, installation_id: uuid.UUID, stream: str, manifest: Manifest) -> Sight:
    """Return a stream as the dry run looks at it: as if the installation were active."""
    context = passes.open_context(tenant_id, get_installation(tenant_id, installation_id), stream, manifest)
    here = Out(installation_id, stream)
    flows_out = passes.get_installed(tenant_id, installation_id, stream).direction != "in"
    if flows_out and context.out is None:
        context = replace(context, outs=(*context.outs, here))
    return sight_of(context, manifest)


def save(
    tenant_id: uuid.UUID, preview_id: uuid.UUID, state: State, *, whole: bool, waits: dict[str, Any] | None = None
) -> bool:
    """Show how far a dry run is, and keep the `whole` of it so that another worker can go on from here.

    False when it has been stopped. `waits` says why nothing happens for a while, and until when.
    """
    values: dict[str, Any] = {"result": {"progress": state.progress(budget().records), "waits": waits}}
    if whole:
        values["work"] = state.to_json()
    return _settle(tenant_id, preview_id, values)


def finish(tenant_id: uuid.UUID, preview_id: uuid.UUID, state: State) -> None:
    """Store what a dry run has found; one that has been stopped meanwhile stays so."""
    preview = previews.get(tenant_id, preview_id)
    installed = {s.stream: s for s in _enabled(tenant_id, preview.installation_id)}
    told = report([(stream, installed[stream.stream]) for stream in state.streams if stream.stream in installed])
    told |= {"finished_at": now().isoformat(), "seconds": round(sum(stream.seconds for stream in state.streams))}
    if all(stream.error for stream in state.streams):
        fail(tenant_id, preview_id, state.streams[0].error or "", state.streams[0].error_fix)
        return
    _settle(tenant_id, preview_id, {"state": "ready", "result": told, "work": null()})


def fail(tenant_id: uuid.UUID, preview_id: uuid.UUID, message: str, fix: str) -> None:
    """End a dry run with what has gone wrong, in words for the customer."""
    _settle(tenant_id, preview_id, {"state": "failed", "error": message, "error_fix": fix, "work": null()})


def _settle(tenant_id: uuid.UUID, preview_id: uuid.UUID, values: dict[str, Any]) -> bool:
    waiting = (Preview.tenant_id == tenant_id, Preview.id == preview_id, Preview.state == "waiting")
    return write(update(Preview).where(*waiting).values(values)) == 1


def keep(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> bool:
    """Hold the next run to the newest dry run, where that still fits; return whether it is held to anything.

    The run that is held to it reads everything. ConflictError while a run is under way.
    """
    if live_run(tenant_id, installation_id):
        raise ConflictError("A run is in progress. Wait for its end, or stop it, then make a dry run again.")
    shown = find_latest(tenant_id, installation_id)
    told = shown.result["streams"] if shown and shown.promises else []
    promises = {item["stream"]: item["promise"] for item in told}
    stop(tenant_id, installation_id)
    for installed in _enabled(tenant_id, installation_id):
        installed.promise = promises.get(installed.stream)
        installed.full_pass_due = installed.full_pass_due or installed.promise is not None
    return any(promises.values())
