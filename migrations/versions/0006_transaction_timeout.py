"""a transaction of a stopped process ends, also in the middle of a pipeline"""

from alembic import op

from app import rls

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in rls.limit_transactions():
        op.execute(statement)


def downgrade() -> None:
    for statement in rls.limit_transactions("RESET transaction_timeout"):
        op.execute(statement)
