"""Exports: everything of an installation in one file, made by a worker, kept for a day, fetched by those who may."""

import uuid
from datetime import timedelta
from typing import Any

from flask import current_app
from sqlalchemy import delete, select

from app.clock import now
from app.config import Settings
from app.db import db
from app.errors import ConflictError, NotFoundError
from app.ids import new_id
from app.models.exports import Export, ExportPart
from app.services import audit, export_files, tasks
from app.services.runs import get_installation
from app.sync.archive import Archive
from app.tenancy import scoped

FORMATS = {"csv": "CSV, for spreadsheets", "json": "JSON, for programs"}
LIVE = ("waiting", "working")


def request(tenant_id: uuid.UUID, installation_id: uuid.UUID, form: str, *, user_id: uuid.UUID | None) -> Export:
    """Have an export made in one of FORMATS; one that is being made already is returned instead of a second one."""
    installation = get_installation(tenant_id, installation_id)
    mine = scoped(Export, tenant_id).where(Export.installation_id == installation_id, Export.state.in_(LIVE))
    live = db.session.scalar(mine)
    if live is not None:
        return live
    who = audit.current_actor.get().name
    made = Export(
        tenant_id=tenant_id, id=new_id(), installation_id=installation_id, format=form, requested_by=user_id,
        requested_name=who, expires_at=now() + _kept(), progress={"file": 0, "after": None, "archive": Archive(now()).state},
    )  # fmt: skip
    db.session.add(made)
    audit.write(tenant_id, "export.requested", "installation", str(installation_id), installation.name, format=form)
    tasks.add_task(tenant_id, "sync", "make_export", str(made.id), ref=made.id)
    return made


def _kept() -> timedelta:
    settings: Settings = current_app.extensions["settings"]
    return timedelta(hours=settings.keep_exports_hours)


def list_exports(tenant_id: uuid.UUID, installation_id: uuid.UUID) -> list[Export]:
    """Return the exports of an installation that can be fetched or are being made, newest first."""
    query = scoped(Export, tenant_id).where(Export.installation_id == installation_id, Export.expires_at > now())
    return list(db.session.scalars(query.order_by(Export.id.desc()).limit(20)))


def open_ready(tenant_id: uuid.UUID, installation_id: uuid.UUID, export_id: uuid.UUID) -> Export:
    """Return an export that can be fetched, and write down that it was; NotFoundError when it has expired."""
    found = db.session.scalar(
        scoped(Export, tenant_id).where(
            Export.id == export_id, Export.installation_id == installation_id, Export.state == "ready",
            Export.expires_at > now(),
        )
    )  # fmt: skip
    if found is None:
        raise NotFoundError("This export is no longer there. Make a new one.")
    installation = get_installation(tenant_id, installation_id)
    audit.write(
        tenant_id, "export.fetched", "installation", str(installation_id), installation.name, format=found.format
    )
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


def remove(tenant_id: uuid.UUID, installation_id: uuid.UUID, export_id: uuid.UUID) -> None:
    """Delete an export before its time; a worker that makes it finds nothing to do."""
    mine = (Export.tenant_id == tenant_id, Export.installation_id == installation_id, Export.id == export_id)
    db.session.execute(delete(Export).where(*mine))


def work(tenant_id: uuid.UUID, export_id: uuid.UUID) -> bool:
    """Write the next part of an export; return whether there is more. One that was deleted needs nothing."""
    made = db.session.scalar(scoped(Export, tenant_id).where(Export.id == export_id).with_for_update())
    if made is None or made.state not in LIVE:
        return False
    files = {file.name: file for file in export_files.files_of(tenant_id, made)}
    progress: dict[str, Any] = dict(made.progress)
    if made.state == "waiting":
        made.state, made.total = "working", export_files.count(tenant_id, made.installation_id)
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
    mine = scoped(Export, tenant_id).where(Export.installation_id == installation_id, Export.state.in_(LIVE))
    if db.session.scalar(mine) is not None:
        raise ConflictError("An export is being made. Wait until it is ready, fetch it, then go on.")
