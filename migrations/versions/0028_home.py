"""records changed by the hour, and whether somebody still wants to see the first steps"""

import sqlalchemy as sa
from alembic import op

from app import rls

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "volumes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("created", "updated", "deleted")),
        sa.PrimaryKeyConstraint("tenant_id", "hour", name=op.f("pk_volumes")),
    )
    rights = rls.grant("volumes", "patchbay_web", "SELECT") + rls.grant("volumes", "patchbay_worker")
    for statement in rights + rls.protect("volumes"):
        op.execute(statement)
    op.add_column("memberships", sa.Column("guide_hidden_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("memberships", "guide_hidden_at")
    op.drop_table("volumes")
