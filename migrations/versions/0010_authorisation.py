"""expiry and test of applications; values kept from a callback; choices of an account; what became of a revocation"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("oauth_clients", sa.Column("expires_on", sa.Date()))
    op.add_column("oauth_clients", sa.Column("tested_at", sa.DateTime(timezone=True)))
    op.add_column("oauth_clients", sa.Column("test_result", sa.Text()))
    op.add_column("oauth_states", sa.Column("kept", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("oauth_states", sa.Column("left_out", postgresql.JSONB(), server_default="[]", nullable=False))
    op.add_column("connections", sa.Column("choices", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("connections", sa.Column("revocation", sa.Text()))
    op.execute("GRANT UPDATE (tested_at, test_result) ON oauth_clients TO patchbay_worker")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (tested_at, test_result) ON oauth_clients FROM patchbay_worker")
    for table, column in (
        ("connections", "revocation"), ("connections", "choices"), ("oauth_states", "left_out"),
        ("oauth_states", "kept"), ("oauth_clients", "test_result"), ("oauth_clients", "tested_at"),
        ("oauth_clients", "expires_on"),
    ):
        op.drop_column(table, column)
