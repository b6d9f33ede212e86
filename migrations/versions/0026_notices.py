"""what people were told of an installation's status, and what they want to be told"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("installation_status", sa.Column("told_status", sa.Text()))
    op.add_column("installation_status", sa.Column("told_at", sa.DateTime(timezone=True)))
    op.add_column("memberships", sa.Column("notify", sa.Text()))
    op.create_check_constraint("notify", "memberships", "notify in ('problems', 'action', 'none')")


def downgrade() -> None:
    op.drop_column("memberships", "notify")
    op.drop_column("installation_status", "told_at")
    op.drop_column("installation_status", "told_status")
