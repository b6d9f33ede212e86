"""what webhooks have told and could not be applied is found by itself"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_hints_failed", "hints", ["tenant_id", "delivery_id"], postgresql_where="state = 'failed'")


def downgrade() -> None:
    op.drop_index("ix_hints_failed", "hints")
