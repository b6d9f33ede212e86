"""Everything of a tenant in one file, made by a worker, kept for a day, fetched by its admins and the host's operators."""

import uuid
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import delete, select

from app.clock import now
from app.db import db
from app.errors import NotFoundError
from app.ids import new_id
from app.models.accounts import Membership, Tenant, User
from app.models.tenant_data import TenantExport, TenantExportPart
from app.services import audit, tasks, tenant_tables
from app.sync.archive import Archive
from app.tenancy import scoped

KEPT = timedelta(hours=24)
LIVE = ("waiting", "working")
_README = """\
{name}: everything that Patchbay keeps of this customer.
Made on {at:%Y-%m-%d %H:%M} UTC for {who}.

tenant.json holds the customer and its people, tables/ one file for each kind of row, with one row a line (JSON Lines).
Records are in tables/records.jsonl, their ids at other products in tables/links.jsonl, what has changed in
tables/changes.jsonl, who did what in tables/audit.jsonl.

No key, password, token or signing secret is in any file. Values of fields that are marked as sensitive stand as "hidden".
Tables are read one after the other: what changed while this was made may be there as it was before or after.

Not in here:
{left_out}
"""


def request(tenant_id: uuid.UUID, *, queue: bool = True) -> TenantExport:
    """Have an export made; one that is being made already is returned instead of a second one."""
    live = db.session.scalar(scoped(TenantExport, tenant_id).where(TenantExport.state.in_(LIVE)))
    if live is not None:
        return live
    made = TenantExport(
        tenant_id=tenant_id, id=new_id(), requested_name=audit.current_actor.get().name, expires_at=now() + KEPT,
        progress={"file": 0, "after": None, "archive": Archive(now()).state},
    )  # fmt: skip
    db.session.add(made)
    audit.write(tenant_id, "tenant.export_requested", "tenant", str(tenant_id))
    if queue:
        tasks.add_task(tenant_id, "sync", "export_tenant", str(made.id), ref=made.id)
    return made


def list_exports(tenant_id: uuid.UUID) -> list[TenantExport]:
    """Return the exports that can be fetched or are being made, newest first."""
    query = scoped(TenantExport, tenant_id).where(TenantExport.expires_at > now())
    return list(db.session.scalars(query.order_by(TenantExport.id.desc()).limit(10)))


def open_ready(tenant_id: uuid.UUID, export_id: uuid.UUID) -> TenantExport:
    """Return an export that can be fetched, and write down that it was; NotFoundError when it has expired."""
    found = db.session.scalar(
        scoped(TenantExport, tenant_id).where(
            TenantExport.id == export_id, TenantExport.state == "ready", TenantExport.expires_at > now()
        )
    )
    if found is None:
        raise NotFoundError("This export is no longer there. Make a new one.")
    audit.write(tenant_id, "tenant.export_fetched", "tenant", str(tenant_id))
    return found


def read_part(tenant_id: uuid.UUID, export_id: uuid.UUID, number: int) -> bytes:
    """Return one part of the file; NotFoundError when the export was deleted meanwhile."""
    found = db.session.scalar(
        select(TenantExportPart.content).where(
            TenantExportPart.tenant_id == tenant_id, TenantExportPart.export_id == export_id,
            TenantExportPart.number == number,
        )
    )  # fmt: skip
    if found is None:
        raise NotFoundError("This export is no longer there.")
    return found


def remove(tenant_id: uuid.UUID, export_id: uuid.UUID) -> None:
    """Delete an export before its time; a worker that makes it finds nothing to do."""
    db.session.execute(delete(TenantExport).where(TenantExport.tenant_id == tenant_id, TenantExport.id == export_id))


def work(tenant_id: uuid.UUID, export_id: uuid.UUID) -> bool:
    """Write the next part; return whether there is more. One that was deleted needs nothing."""
    made = db.session.scalar(scoped(TenantExport, tenant_id).where(TenantExport.id == export_id).with_for_update())
    if made is None or made.state not in LIVE:
        return False
    tables, progress = tenant_tables.exported_tables(), dict(made.progress)
    archive, content = Archive.load(progress["archive"]), b""
    if made.state == "waiting":
        made.state, made.total = "working", tenant_tables.count(tenant_id, tables)
        for name, text in _heads(tenant_id, made).items():
            content += archive.begin(name) + archive.add(text) + archive.end()
    elif progress["file"] < len(tables):
        table = tables[progress["file"]]
        if progress["after"] is None:
            content += archive.begin(f"tables/{table.name}.jsonl")
        rows, after = tenant_tables.read(table, tenant_id, progress["after"], tenant_tables.hidden_fields())
        content += archive.add(b"".join(map(tenant_tables.line, rows)))
        content += b"" if after is not None else archive.end()
        made.done += len(rows)
        progress |= {"file": progress["file"] + (after is None), "after": after}
    else:
        content = archive.close()
        made.state, made.ready_at, made.expires_at = "ready", now(), now() + KEPT
    db.session.add(TenantExportPart(tenant_id=tenant_id, export_id=made.id, number=made.parts, content=content))
    made.parts, made.size, made.progress = made.parts + 1, archive.offset, {**progress, "archive": archive.state}
    return made.state != "ready"


def fail(tenant_id: uuid.UUID, export_id: uuid.UUID, message: str) -> None:
    """Give an export up and say why; what there is of the file goes."""
    made = db.session.scalar(scoped(TenantExport, tenant_id).where(TenantExport.id == export_id))
    if made is None or made.state not in LIVE:
        return
    made.state, made.error = "failed", message
    parts = (TenantExportPart.tenant_id == tenant_id, TenantExportPart.export_id == export_id)
    db.session.execute(delete(TenantExportPart).where(*parts))


def _heads(tenant_id: uuid.UUID, made: TenantExport) -> dict[str, bytes]:
    """Return the files that stand first: the words that come with it, and the tenant with its people."""
    tenant = db.session.scalars(select(Tenant).where(Tenant.id == tenant_id)).one()
    people = db.session.execute(
        select(User.name, User.email, Membership.role, Membership.created_at)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.tenant_id == tenant_id)
        .order_by(Membership.id)
    )
    left_out = "\n".join(f"- {name}: {why}" for name, why in sorted(tenant_tables.NOT_EXPORTED.items()))
    about: dict[str, Any] = {
        "id": tenant.id, "name": tenant.name, "external_id": tenant.external_id, "zone": tenant.zone,
        "created_at": tenant.created_at, "exported_at": now(),
        "people": [{"name": row[0], "email": row[1], "role": row[2], "since": row[3]} for row in people],
    }  # fmt: skip
    readme = _README.format(name=tenant.name, at=made.created_at or now(), who=made.requested_name, left_out=left_out)
    return {
        "README.txt": readme.encode(),
        "tenant.json": orjson.dumps(about, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE),
    }
