"""exports of all data of a tenant, and the erasure of one with a report that outlives it"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
LIVE = "state in ('waiting', 'working')"
# Rows of the audit log go with their tenant and in no other way: its time must have come.
ERASE_AUDIT = """
CREATE FUNCTION erase_audit(p_tenant uuid, p_batch integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM audit a WHERE a.tenant_id = p_tenant AND a.id IN (
            SELECT b.id FROM audit b WHERE b.tenant_id = p_tenant LIMIT p_batch
        ) AND EXISTS (SELECT FROM tenants t WHERE t.id = p_tenant AND t.erase_at <= now())
        RETURNING 1
    ) SELECT count(*) FROM gone
$$
"""


def _table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(
        name, *parts, sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{name}")),
    )  # fmt: skip


def upgrade() -> None:
    _exports()
    _erasures()
    op.add_column("tenants", sa.Column("erase_at", MOMENT))
    op.add_column("tenants", sa.Column("erase_by", sa.Text()))
    statements = [
        *(line for table in ("tenant_exports", "tenant_export_parts", "erasures") for line in rls.protect(table)),
        *rls.grant("tenant_exports, tenant_export_parts, erasures", "patchbay_worker"),
        *rls.grant("tenant_exports", "patchbay_web"), *rls.grant("tenant_export_parts", "patchbay_web", "SELECT, DELETE"),
        *rls.grant("erasures", "patchbay_web", "SELECT, INSERT, UPDATE"),
        *rls.grant("users, support_grants, integration_requests", "patchbay_worker", "DELETE"),
        *rls.grant("audit", "patchbay_lookup", "SELECT, DELETE"), *rls.allow("audit", "patchbay_lookup"),
        ERASE_AUDIT,
        "ALTER FUNCTION erase_audit(uuid, integer) OWNER TO patchbay_lookup",
        "REVOKE ALL ON FUNCTION erase_audit(uuid, integer) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION erase_audit(uuid, integer) TO patchbay_worker",
    ]  # fmt: skip
    for statement in statements:
        op.execute(statement)


def _exports() -> None:
    _table(
        "tenant_exports",
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("requested_name", sa.Text(), nullable=False),
        sa.Column("progress", postgresql.JSONB(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False), sa.Column("total", sa.Integer()),
        sa.Column("parts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text()), sa.Column("ready_at", MOMENT), sa.Column("expires_at", MOMENT, nullable=False),
        sa.CheckConstraint("state in ('waiting', 'working', 'ready', 'failed')", name=op.f("ck_tenant_exports_state")),
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


def _erasures() -> None:
    _table(
        "erasures",
        sa.Column("subject_id", sa.Uuid(), nullable=False), sa.Column("subject_name", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text()), sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("requested_name", sa.Text(), nullable=False), sa.Column("requested_email", sa.Text()),
        sa.Column("erase_at", MOMENT, nullable=False), sa.Column("undone_at", MOMENT), sa.Column("undone_name", sa.Text()),
        sa.Column("started_at", MOMENT), sa.Column("finished_at", MOMENT),
        sa.Column("people", postgresql.JSONB(), server_default="[]", nullable=False),
        *(sa.Column(name, postgresql.JSONB(), server_default="{}", nullable=False) for name in ("counts", "revocations")),
        sa.Column("report", sa.Text()),
        sa.CheckConstraint("state in ('waiting', 'working', 'done', 'undone')", name=op.f("ck_erasures_state")),
    )  # fmt: skip
    op.create_index("uq_erasures_live", "erasures", ["tenant_id", "subject_id"], unique=True, postgresql_where=LIVE)


def downgrade() -> None:
    op.execute("DROP FUNCTION erase_audit(uuid, integer)")
    op.execute("DROP POLICY patchbay_lookup_crosses ON audit")
    op.execute("REVOKE SELECT, DELETE ON audit FROM patchbay_lookup")
    op.execute("REVOKE DELETE ON users, support_grants, integration_requests FROM patchbay_worker")
    op.drop_column("tenants", "erase_by")
    op.drop_column("tenants", "erase_at")
    op.drop_table("erasures")
    op.drop_table("tenant_export_parts")
    op.drop_table("tenant_exports")
