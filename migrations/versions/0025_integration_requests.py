"""members ask for integrations: for one of the catalog, or for one that is missing"""

import sqlalchemy as sa
from alembic import op

from app import rls

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "integration_requests",
        sa.Column("connector", sa.Text()), sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False), sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("decided_by", sa.Text()), sa.Column("decided_at", MOMENT), sa.Column("note", sa.Text()),
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state in ('open', 'approved', 'declined', 'withdrawn')", name=op.f("ck_integration_requests_state")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_integration_requests_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_integration_requests")),
    )  # fmt: skip
    op.create_index(
        "uq_integration_requests_open", "integration_requests", ["tenant_id", "user_id", sa.text("lower(name)")], unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )  # fmt: skip
    statements = rls.grant("integration_requests", "patchbay_web") + rls.grant("integration_requests", "patchbay_worker", "SELECT")
    for statement in statements + rls.protect("integration_requests") + rls.allow_staff("integration_requests"):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("integration_requests")
