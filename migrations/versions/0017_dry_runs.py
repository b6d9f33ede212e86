"""where a dry run stands; writes to the other side counted for each stream of a run"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("previews", sa.Column("work", postgresql.JSONB()))
    op.add_column("run_streams", sa.Column("outgoing", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("run_streams", "outgoing")
    op.drop_column("previews", "work")
