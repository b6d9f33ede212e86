"""exports of an installation with the parts of their files; what was asked for when an installation was removed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from app import rls

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("installations", sa.Column("removal", JSONB()))
    op.create_table(
        "exports",
        sa.Column("installation_id", sa.Uuid(), nullable=False), sa.Column("format", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("requested_by", sa.Uuid()), sa.Column("requested_name", sa.Text(), nullable=False),
        sa.Column("progress", JSONB(), nullable=False),
        sa.Column("done", sa.Integer(), server_default="0", nullable=False), sa.Column("total", sa.Integer()),
        sa.Column("parts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text()), sa.Column("ready_at", MOMENT), sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state in ('waiting', 'working', 'ready', 'failed')", name=op.f("ck_exports_state")),
        sa.CheckConstraint("format in ('csv', 'json')", name=op.f("ck_exports_format")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "installation_id"], ["installations.tenant_id", "installations.id"], ondelete="CASCADE",
            name=op.f("fk_exports_tenant_id_installation_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_exports")),
    )  # fmt: skip
    op.create_index(
        "uq_exports_live", "exports", ["tenant_id", "installation_id"], unique=True,
        postgresql_where=sa.text("state in ('waiting', 'working')"),
    )  # fmt: skip
    op.create_index(op.f("ix_exports_tenant_id_installation_id_id"), "exports", ["tenant_id", "installation_id", "id"])
    op.create_table(
        "export_parts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False), sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "export_id"], ["exports.tenant_id", "exports.id"], ondelete="CASCADE",
            name=op.f("fk_export_parts_tenant_id_export_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "export_id", "number", name=op.f("pk_export_parts")),
    )  # fmt: skip
    # Web asks for exports and sends what is there; it writes no part.
    statements = rls.grant("exports", "patchbay_web", "SELECT, INSERT, DELETE") + rls.grant("exports", "patchbay_worker")
    statements += rls.grant("export_parts", "patchbay_web", "SELECT") + rls.grant("export_parts", "patchbay_worker")
    for table in ("exports", "export_parts"):
        statements += rls.protect(table)
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("export_parts")
    op.drop_table("exports")
    op.drop_column("installations", "removal")
