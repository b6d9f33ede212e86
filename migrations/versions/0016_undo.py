"""how far the undo of a run is; what has closed a problem"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("undo", postgresql.JSONB(astext_type=sa.Text())))
    op.add_column("problems", sa.Column("closed_by", sa.Text()))


def downgrade() -> None:
    op.drop_column("problems", "closed_by")
    op.drop_column("runs", "undo")
