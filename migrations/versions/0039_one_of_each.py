"""one table of exports, of an installation or of all of a tenant; one of signing secrets, which destinations have too"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
LIVE = sa.text("state in ('waiting', 'working')")
KEPT_TABLES = ("exports", "export_parts", "tasks", "destinations")
# What is written of each part is not the same any more: what is under way begins anew, from the task that it has.
KEPT = "tenant_id, id, created_at, requested_name, done, total, parts, size, error, ready_at, expires_at, state, progress"
ANEW = """
    UPDATE {table} SET state = 'waiting', done = 0, total = NULL, parts = 0, size = 0, progress = jsonb_build_object(
        'file', 0, 'after', NULL, 'archive', jsonb_build_object('at', now(), 'offset', 0, 'files', '[]'::jsonb))
    WHERE state IN ('waiting', 'working') AND {which}
"""
MOVE_PARTS = """
    INSERT INTO {to} (tenant_id, export_id, number, content) SELECT p.tenant_id, p.export_id, p.number, p.content
    FROM {of} p JOIN {table} e ON e.tenant_id = p.tenant_id AND e.id = p.export_id WHERE {which}
"""
OWNERS = {"subscription_id": "subscriptions", "destination_id": "destinations"}
MOVE_SECRETS = """
    INSERT INTO {to} (tenant_id, id, created_at, subscription_id, sealed, expires_at)
    SELECT tenant_id, id, created_at, subscription_id, sealed, expires_at FROM {of} WHERE subscription_id IS NOT NULL
"""
# A secret is sealed for its row: one that was made after this step up cannot be a destination's own again.
SIGN_BACK = """
    UPDATE destinations d SET secret_sealed = s.sealed FROM signing_secrets s
    WHERE s.tenant_id = d.tenant_id AND s.destination_id = d.id AND s.id = d.id
"""
SIGN_NO_MORE = """
    UPDATE destinations SET state = 'disabled', disabled_code = 'person', disabled_at = now()
    WHERE kind = 'webhook' AND secret_sealed IS NULL AND state = 'active'
"""
SIGN_ON = """
    INSERT INTO signing_secrets (tenant_id, id, created_at, destination_id, sealed)
    SELECT tenant_id, id, created_at, id, secret_sealed FROM destinations WHERE secret_sealed IS NOT NULL
"""


def upgrade() -> None:
    joined = ("tenant_exports", "tenant_export_parts", "subscription_secrets")
    _all_rows(*KEPT_TABLES, *joined, forced=False)
    _join_exports()
    _join_secrets()
    _all_rows(*KEPT_TABLES, forced=True)


def _all_rows(*tables: str, forced: bool) -> None:
    """Let the owner of the tables see the rows of all tenants, or not any more."""
    for table in tables:
        op.execute(f"ALTER TABLE {table} {'' if forced else 'NO '}FORCE ROW LEVEL SECURITY")


def _join_exports() -> None:
    op.alter_column("exports", "installation_id", nullable=True)
    op.drop_constraint(op.f("ck_exports_format"), "exports", type_="check")
    op.create_check_constraint(op.f("ck_exports_format"), "exports", "format in ('csv', 'json', 'jsonl')")
    whole = "(installation_id IS NULL) = (format = 'jsonl')"
    op.create_check_constraint(op.f("ck_exports_whole"), "exports", whole)
    op.execute(
        f"INSERT INTO exports ({KEPT}, format) SELECT {KEPT}, 'jsonl' FROM tenant_exports"  # noqa: S608  # names of columns
    )
    op.execute(ANEW.format(table="exports", which="installation_id IS NULL"))
    move = MOVE_PARTS.format(
        to="export_parts", of="tenant_export_parts", table="tenant_exports",
        which="e.state NOT IN ('waiting', 'working')",
    )  # fmt: skip
    op.execute(move)
    op.execute("UPDATE tasks SET kind = 'make_export' WHERE kind = 'export_tenant'")
    op.drop_index("uq_exports_live", "exports")
    op.create_index(
        "uq_exports_live", "exports", ["tenant_id", "installation_id"], unique=True, postgresql_where=LIVE,
        postgresql_nulls_not_distinct=True,
    )  # fmt: skip
    op.drop_table("tenant_export_parts")
    op.drop_table("tenant_exports")


def _join_secrets() -> None:
    _make_secrets("signing_secrets", "subscription_id", "destination_id")
    op.create_check_constraint(
        op.f("ck_signing_secrets_owner"), "signing_secrets", "num_nonnulls(subscription_id, destination_id) = 1"
    )
    op.execute(MOVE_SECRETS.format(to="signing_secrets", of="subscription_secrets"))
    op.execute(SIGN_ON)
    _guard_secrets("signing_secrets", "subscription_id, destination_id")
    op.drop_table("subscription_secrets")
    op.drop_column("destinations", "secret_sealed")


def _make_secrets(table: str, *owners: str) -> None:
    op.create_table(
        table, *(sa.Column(owner, sa.Uuid(), nullable=len(owners) > 1) for owner in owners),
        sa.Column("sealed", sa.LargeBinary(), nullable=False), sa.Column("expires_at", MOMENT),
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", owner], [f"{OWNERS[owner]}.tenant_id", f"{OWNERS[owner]}.id"], ondelete="CASCADE",
                name=op.f(f"fk_{table}_tenant_id_{owner}"),
            )
            for owner in owners
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
    )  # fmt: skip
    for owner in owners:
        op.create_index(f"ix_{table}_{owner.removesuffix('_id')}", table, ["tenant_id", owner])


def _guard_secrets(table: str, owners: str) -> None:
    """Let web add a secret and end it, but not read it, not even as ciphertext."""
    statements = [
        *rls.protect(table), *rls.grant(table, "patchbay_worker"),
        *rls.grant(table, "patchbay_web", "INSERT, UPDATE (expires_at)"),
        *rls.grant(table, "patchbay_web", f"SELECT (tenant_id, id, created_at, {owners}, expires_at)"),
    ]  # fmt: skip
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    _all_rows(*KEPT_TABLES, "signing_secrets", forced=False)
    _part_secrets()
    _part_exports()
    _all_rows(*KEPT_TABLES, forced=True)


def _part_secrets() -> None:
    op.add_column("destinations", sa.Column("secret_sealed", sa.LargeBinary()))
    op.execute(SIGN_BACK)
    op.execute(SIGN_NO_MORE)
    _make_secrets("subscription_secrets", "subscription_id")
    op.execute(MOVE_SECRETS.format(to="subscription_secrets", of="signing_secrets"))
    _guard_secrets("subscription_secrets", "subscription_id")
    op.drop_table("signing_secrets")


def _part_exports() -> None:
    _make_tenant_exports()
    op.execute(
        f"INSERT INTO tenant_exports ({KEPT}) SELECT {KEPT} FROM exports WHERE installation_id IS NULL"  # noqa: S608  # as above
    )
    op.execute(ANEW.format(table="tenant_exports", which="true"))
    move = MOVE_PARTS.format(
        to="tenant_export_parts", of="export_parts", table="exports",
        which="e.installation_id IS NULL AND e.state NOT IN ('waiting', 'working')",
    )  # fmt: skip
    op.execute(move)
    op.execute("UPDATE tasks SET kind = 'export_tenant' WHERE kind = 'make_export' AND ref IN (SELECT id FROM tenant_exports)")
    for table in ("tenant_exports", "tenant_export_parts"):
        for statement in rls.protect(table):
            op.execute(statement)
    op.execute("DELETE FROM exports WHERE installation_id IS NULL")
    op.drop_index("uq_exports_live", "exports")
    op.create_index("uq_exports_live", "exports", ["tenant_id", "installation_id"], unique=True, postgresql_where=LIVE)
    for name in ("whole", "format"):
        op.drop_constraint(op.f(f"ck_exports_{name}"), "exports", type_="check")
    op.create_check_constraint(op.f("ck_exports_format"), "exports", "format in ('csv', 'json')")
    op.alter_column("exports", "installation_id", nullable=False)


def _make_tenant_exports() -> None:
    op.create_table(
        "tenant_exports",
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("requested_name", sa.Text(), nullable=False),
        sa.Column("progress", postgresql.JSONB(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False), sa.Column("total", sa.Integer()),
        sa.Column("parts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text()), sa.Column("ready_at", MOMENT), sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state in ('waiting', 'working', 'ready', 'failed')", name=op.f("ck_tenant_exports_state")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tenant_exports")),
    )  # fmt: skip
    op.create_index("uq_tenant_exports_live", "tenant_exports", ["tenant_id"], unique=True, postgresql_where=LIVE)
    op.create_table(
        "tenant_export_parts",
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in ("tenant_id", "export_id")),
        sa.Column("number", sa.Integer(), nullable=False), sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "export_id"], ["tenant_exports.tenant_id", "tenant_exports.id"], ondelete="CASCADE",
            name=op.f("fk_tenant_export_parts_tenant_id_export_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "export_id", "number", name=op.f("pk_tenant_export_parts")),
    )  # fmt: skip
    rights = [
        *rls.grant("tenant_exports, tenant_export_parts", "patchbay_worker"), *rls.grant("tenant_exports", "patchbay_web"),
        *rls.grant("tenant_export_parts", "patchbay_web", "SELECT, DELETE"),
    ]  # fmt: skip
    for statement in rights:
        op.execute(statement)
