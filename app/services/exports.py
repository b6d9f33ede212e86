"""Exports of an installation or of all of a tenant: one file, made by a worker, kept for a day, fetched by those who may."""

import uuid
from datetime import timedelta
from typing import Any

from flask import current_app
from sqlalchemy import Select, delete, select

from app.clock import now
from app.config import Settings
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import new_id
from app.models.exports import Export, ExportPart
from app.services import audit, export_files, tasks, tenant_files
from app.services.runs import get_installation
from app.sync.archive import Archive
from app.tenancy import scoped

FORMATS = {"csv": "CSV, for spreadsheets", "json": "JSON, for programs"}
LIVE = ("waiting", "working")


def request(
    tenant_id: uuid.UUID, installation_id: uuid.UUID | None = None, form: str = "csv", *,
    user_id: uuid.UUID | None = None, queue: bool = True,
) -> Export:  # fmt: skip
    """Have an export made, of an installation in one of FORMATS, of all of the tenant without one.

    One that is being made already is returned instead of a second one. Without `queue` no worker makes it: `work` does.
    """
    if installation_id is not None:
        get_installation(tenant_id, installation_id)
    live = db.session.scalar(_of(tenant_id, installation_id).where(Export.state.in_(LIVE)))
    if live is not None:
        return live
    made = Export(
        tenant_id=tenant_id, id=new_id(), installation_id=installation_id, requested_by=user_id,
        format=form if installation_id else "jsonl", requested_name=audit.current_actor.get().name,
        expires_at=now() + _kept(), progress={"file": 0, "after": None, "archive": Archive(now()).state},
    )  # fmt: skip
    db.session.add(made)
    _audit(made, "requested")
    if queue:
        tasks.add_task(tenant_id, "sync", "make_export", str(made.id), ref=made.id)
    return made


def _of(tenant_id: uuid.UUID, installation_id: uuid.UUID | None) -> Select[Export]:
    return scoped(Export, tenant_id).where(Export.installation_id == installation_id)


def _audit(export: Export, what: str) -> None:
    tenant_id, installation_id = export.tenant_id, export.installation_id
    if installation_id is None:
        audit.write(tenant_id, f"tenant.export_{what}", "tenant", str(tenant_id))
    else:
        name = get_installation(tenant_id, installation_id).name
        audit.write(tenant_id, f"export.{what}", "installation", str(installation_id), name, format=export.format)


def _kept() -> timedelta:
    settings: Settings = current_app.extensions["settings"]
    return timedelta(hours=settings.keep_exports_hours)


def list_exports(tenant_id: uuid.UUID, installation_id: uuid.UUID | None = None) -> list[Export]:
    """Return the exports that can be fetched or are being made, newest first."""
    query = _of(tenant_id, installation_id).where(Export.expires_at > now())
    return list(db.session.scalars(query.order_by(Export.id.desc()).limit(20)))


def open_ready(tenant_id: uuid.UUID, installation_id: uuid.UUID | None, export_id: uuid.UUID) -> Export:
    """Return an export that can be fetched, and write down that it was; NotFoundError when it has expired."""
    found = db.session.scalar(
        _of(tenant_id, installation_id).where(
            Export.id == export_id, Export.state == "ready", Export.expires_at > now()
        )
    )
    if found is None:
        raise NotFoundError("This export is no longer there. Make a new one.")
    _audit(found, "fetched")
    return found


def read_part(tenant_id: uuid.UUID, export_id: uuid.UUID, number: int) -> bytes:
    """Return one part of the file; NotFoundError when the export was deleted meanwhile."""
    found = db.session.scalar(
        select(ExportPart.content).where(
            ExportPart.tenant_id == tenant_id, ExportPart.export_id == export_id, ExportPart.number == number
        )
    )
    if found is None:
        raise NotFoundError("This export is no longer there.")
    return found


def remove(tenant_id: uuid.UUID, installation_id: uuid.UUID | None, export_id: uuid.UUID) -> None:
    """Delete an export before its time; a worker that makes it finds nothing to do."""
    mine = (Export.tenant_id == tenant_id, Export.installation_id == installation_id, Export.id == export_id)
    db.session.execute(delete(Export).where(*mine))


def work(tenant_id: uuid.UUID, export_id: uuid.UUID) -> bool:
    """Write the next part of an export; return whether there is more. One that was deleted needs nothing."""
    made = db.session.scalar(scoped(Export, tenant_id).where(Export.id == export_id).with_for_update())
    if made is None or made.state not in LIVE:
        return False
    source: Any = export_files if made.installation_id else tenant_files
    files = {file.name: file for file in source.files_of(tenant_id, made)}
    progress: dict[str, Any] = dict(made.progress)
    if made.state == "waiting":
        made.state, made.total = "working", source.count(tenant_id, made)
        progress["names"] = list(files)
    archive = Archive.load(progress["archive"])
    content = b""
    if progress["file"] < len(progress["names"]):
        file = files[progress["names"][progress["file"]]]
        if progress["after"] is None:
            content += archive.begin(file.name) + archive.add(file.head())
        rows, after = file.read(progress["after"])
        content += archive.add(file.body(rows, first=progress["after"] is None))
        made.done += len(rows)
        if after is None:
            content += archive.add(file.foot()) + archive.end()
        progress |= {"file": progress["file"] + (after is None), "after": after}
    else:
        content = archive.close()
        made.state, made.ready_at, made.expires_at = "ready", now(), now() + _kept()
    db.session.add(ExportPart(tenant_id=tenant_id, export_id=made.id, number=made.parts, content=content))
    made.parts, made.size, made.progress = made.parts + 1, archive.offset, {**progress, "archive": archive.state}
    return made.state != "ready"


def fail(tenant_id: uuid.UUID, export_id: uuid.UUID, message: str) -> None:
    """Give an export up and say why; what there is of the file goes."""
    made = db.session.scalar(scoped(Export, tenant_id).where(Export.id == export_id))
    if made is None or made.state not in LIVE:
        return
    made.state, made.error = "failed", message
    db.session.execute(delete(ExportPart).where(ExportPart.tenant_id == tenant_id, ExportPart.export_id == export_id))


def refuse_when_live(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> None:
    """Raise ConflictError while an export is being made: what it reads must not go before it is done."""
    if db.session.scalar(_of(tenant_id, installation_id).where(Export.state.in_(LIVE))) is not None:
        raise ConflictError("An export is being made. Wait until it is ready, fetch it, then go on.")
