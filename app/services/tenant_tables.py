"""All tables with rows of a tenant, as the models declare them: what is exported of each, and that all of it can go.

No list of tables is kept here but of those that are left out of an export, each with its reason: a table that is added
is exported and erased without anybody having to think of it.
"""

import uuid
from typing import Any

import orjson
from sqlalchemy import ColumnElement, LargeBinary, String, Table, cast, func, literal, select, text, tuple_

from app.db import db, write
from app.models.object_types import ObjectField
from app.services.sensitive_fields import mask
from app.tenancy import PLATFORM_TENANT

BATCH = 2000
ERASED_AT_ONCE = 5000
NOT_EXPORTED = {
    "credentials": "Secrets.", "endpoint_secrets": "Secrets.", "signing_secrets": "Secrets.",
    "oauth_states": "Secrets of sign-ins under way.", "idempotency_keys": "Sealed answers of the API.",
    "tasks": "Work of ours under way.", "task_gates": "Work of ours under way.", "previews": "Questions of open pages.",
    "pass_pages": "Work of ours under way.", "intents": "Work of ours under way; its outcome is in the journal of changes.",
    "record_keys": "An index of the records.", "event_sequences": "Counters.", "hints": "What webhooks said, until it is read.",
    "exchanges": "Traffic for support, for some days.", "mails": "Sealed messages, for some days.",
    "attempts": "Tries of dispatches.",
    "exports": "Exports themselves.", "export_parts": "Exports themselves.", "erasures": "The platform's own.",
}  # fmt: skip
# Headers of webhooks may hold what proves the sender.
WITHHELD = frozenset({("deliveries", "headers")})
# Columns with values of records, in which fields that are marked sensitive are replaced.
_VALUES = frozenset({"data", "base", "before", "after", "ours", "theirs", "edited", "override"})


def all_tables() -> list[Table]:
    """Return every table with rows of a tenant, those that others refer to first."""
    return [table for table in db.metadata.sorted_tables if "tenant_id" in table.columns]


def exported_tables() -> list[Table]:
    """Return the tables that an export holds."""
    return [table for table in all_tables() if table.name not in NOT_EXPORTED]


def columns_of(table: Table) -> list[Any]:
    """Return the columns that an export holds: nothing sealed or hashed, which is all that is binary."""
    return [
        column for column in table.columns
        if not isinstance(column.type, LargeBinary) and (table.name, column.name) not in WITHHELD
        and column.name not in ("tenant_id", "xid")
    ]  # fmt: skip


def count(tenant_id: uuid.UUID, tables: list[Table]) -> int:
    """Return how many rows of a tenant these tables have."""
    parts = [select(func.count()).select_from(t).where(t.c.tenant_id == tenant_id).scalar_subquery() for t in tables]
    return sum(db.session.execute(select(*parts)).one())


def hidden_fields() -> frozenset[str]:
    """Return the names of fields that are marked sensitive, of whatever object type."""
    return frozenset(db.session.scalars(select(ObjectField.name).where(ObjectField.sensitive)))


def read(
    table: Table, tenant_id: uuid.UUID, after: list[str] | None, hidden: frozenset[str]
) -> tuple[list[dict[str, Any]], list[str] | None]:
    """Return the next rows in the order of the key, and the key to go on behind, None at the end."""
    key = [column for column in table.primary_key.columns if column.name != "tenant_id"]
    query = select(*columns_of(table), *(_plain(column).label(f"key {column.name}") for column in key))
    query = query.where(table.c.tenant_id == tenant_id).order_by(*key).limit(BATCH)
    if after is not None:
        values = [cast(literal(value, String), column.type) for value, column in zip(after, key, strict=True)]
        query = query.where(tuple_(*key) > tuple_(*values))
    found = db.session.execute(query).mappings().all()
    rows = [
        {name: _shown(name, value, hidden) for name, value in row.items() if not name.startswith("key ")}
        for row in found
    ]
    last = [found[-1][f"key {column.name}"] for column in key] if len(found) == BATCH else None
    return rows, last


def _plain(column: Any) -> ColumnElement[str]:
    return cast(column, String)


def _shown(name: str, value: Any, hidden: frozenset[str]) -> Any:
    return mask(value, hidden) if hidden and name in _VALUES and isinstance(value, dict) else value


def line(row: dict[str, Any]) -> bytes:
    """Return a row as a line of JSON."""
    return orjson.dumps(row, default=str, option=orjson.OPT_APPEND_NEWLINE)


def erase_order() -> list[Table]:
    """Return the tables in the order they are emptied in.

    Work under way ends first, then all ways in; then whatever refers to other rows goes before these.
    """
    first = ("tasks", "memberships", "api_keys", "connect_sessions", "invitations")
    tables = {table.name: table for table in reversed(all_tables()) if table.name != "erasures"}
    return [tables[name] for name in first] + [table for name, table in tables.items() if name not in first]


def erase_some(table: Table, tenant_id: uuid.UUID) -> int:
    """Delete some rows of the bound tenant; return how many. Never the platform's."""
    if tenant_id == PLATFORM_TENANT:
        raise ValueError("The platform's tenant is not erased.")
    if table.name == "audit":
        values = {"tenant": tenant_id, "batch": ERASED_AT_ONCE}
        return int(db.session.scalar(text("SELECT erase_audit(:tenant, :batch)"), values) or 0)
    # The names of tables come from the models. By place, because not every table has a key of one column.
    gone = text(
        f'DELETE FROM "{table.name}" WHERE ctid IN '  # noqa: S608  # as just said
        f'(SELECT ctid FROM "{table.name}" WHERE tenant_id = :tenant LIMIT :batch)'
    )
    return write(gone.bindparams(tenant=tenant_id, batch=ERASED_AT_ONCE))
