"""how far a stream has been looked through for records that only the host has"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("installation_streams", sa.Column("missing_after", sa.Uuid()))


def downgrade() -> None:
    op.drop_column("installation_streams", "missing_after")
