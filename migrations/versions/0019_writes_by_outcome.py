"""writes to the other side are found by what became of them"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_intents_parked", "intents", ["tenant_id", "installation_id", "stream"], postgresql_where="state = 'parked'"
    )
    op.create_index(
        "ix_intents_settled", "intents", ["tenant_id", "installation_id", "settled_at"],
        postgresql_where="settled_at is not null",
    )


def downgrade() -> None:
    op.drop_index("ix_intents_settled", "intents")
    op.drop_index("ix_intents_parked", "intents")
