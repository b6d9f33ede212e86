"""The files of an export of everything of a tenant: the words that come with it, its people, and all its tables."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select

from app.clock import now
from app.db import db
from app.models.accounts import Membership, Tenant, User
from app.models.exports import Export
from app.services import tenant_tables
from app.services.export_files import Row, Text, as_json

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


@dataclass(frozen=True)
class Lines:
    """A table, one row a line."""

    table: Table
    tenant_id: uuid.UUID

    @property
    def name(self) -> str:
        """The path of the file."""
        return f"tables/{self.table.name}.jsonl"

    def read(self, after: list[str] | None) -> tuple[list[Row], list[str] | None]:
        """Return the rows behind the key `after` and where to go on, None at the end."""
        return tenant_tables.read(self.table, self.tenant_id, after, tenant_tables.hidden_fields())

    def head(self) -> bytes:
        """Return what stands before the rows: nothing."""
        return b""

    def body(self, rows: list[Row], *, first: bool) -> bytes:
        """Return rows as they stand in the file."""
        return b"".join(map(tenant_tables.line, rows))

    def foot(self) -> bytes:
        """Return what stands behind the rows: nothing."""
        return b""


def count(tenant_id: uuid.UUID, _export: Export) -> int:
    """Return how many rows the export will have, for its progress."""
    return tenant_tables.count(tenant_id, tenant_tables.exported_tables())


def files_of(tenant_id: uuid.UUID, export: Export) -> list[Lines | Text]:
    """Return the files of an export in their order."""
    return [
        Text("README.txt", lambda: _readme(tenant_id, export)), Text("tenant.json", lambda: _about(tenant_id)),
        *(Lines(table, tenant_id) for table in tenant_tables.exported_tables()),
    ]  # fmt: skip


def _tenant(tenant_id: uuid.UUID) -> Tenant:
    return db.session.scalars(select(Tenant).where(Tenant.id == tenant_id)).one()


def _readme(tenant_id: uuid.UUID, export: Export) -> bytes:
    left_out = "\n".join(f"- {name}: {why}" for name, why in sorted(tenant_tables.NOT_EXPORTED.items()))
    name = _tenant(tenant_id).name
    return _README.format(name=name, at=export.created_at, who=export.requested_name, left_out=left_out).encode()


def _about(tenant_id: uuid.UUID) -> bytes:
    tenant = _tenant(tenant_id)
    people = db.session.execute(
        select(User.name, User.email, Membership.role, Membership.created_at)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.tenant_id == tenant_id)
        .order_by(Membership.id)
    )
    about: dict[str, Any] = {
        "id": tenant.id, "name": tenant.name, "external_id": tenant.external_id, "zone": tenant.zone,
        "created_at": tenant.created_at, "exported_at": now(),
        "people": [{"name": row[0], "email": row[1], "role": row[2], "since": row[3]} for row in people],
    }  # fmt: skip
    return as_json(about)
