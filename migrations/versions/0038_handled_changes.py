"""writes say which change of their record they carry, how many were told and which were told twice

`installation_streams.told_from`: from here on changes are looked at by the check of write-back. What was written before
says nothing of what it has carried, and is not taken for missed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("intents", sa.Column("handled_id", sa.Uuid()))
    op.add_column("intents", sa.Column("told", sa.Integer(), server_default="1", nullable=False))
    op.add_column("intents", sa.Column("told_since", sa.Integer(), server_default="0", nullable=False))
    op.add_column("intents", sa.Column("repeated", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ix_intents_told", "intents", ["tenant_id", "installation_id", "settled_at"],
        postgresql_include=["told", "repeated"], postgresql_where="told > 1 or repeated",
    )
    # Each stream that is there begins now; one that is added begins with its first full pass.
    op.add_column("installation_streams", sa.Column("told_from", sa.Uuid(), server_default=sa.text("new_event_id()")))
    op.alter_column("installation_streams", "told_from", server_default=None)


def downgrade() -> None:
    op.drop_column("installation_streams", "told_from")
    op.drop_index("ix_intents_told", "intents")
    for column in ("repeated", "told_since", "told", "handled_id"):
        op.drop_column("intents", column)
