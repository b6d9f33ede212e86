"""what was decided in a conflict, field by field, and for how many others; when the other side's value was read"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
COLUMNS = ("choices", "similar", "decided_with", "theirs_at", "read_at")
BEFORE = "resolution in ('theirs', 'ours', 'edited', 'policy', 'agreed')"
AFTER = (
    "resolution in ('theirs', 'ours', 'edited', 'mixed', 'kept', 'linked', 'created', 'policy', 'agreed', 'gone')"
)
# Each row is in one of the first three: the lists of open, of decided and of settled ones stay fast beside each other.
INDEXES = {
    "ix_conflicts_open": (["tenant_id", "id"], "state = 'open'"),
    "ix_conflicts_policy": (["tenant_id", "id"], "resolution = 'policy'"),
    "ix_conflicts_settled": (["tenant_id", "id"], "state = 'settled' and resolution <> 'policy'"),
    "ix_conflicts_decided_with": (["tenant_id", "decided_with"], "decided_with is not null"),
}


def upgrade() -> None:
    op.add_column("conflicts", sa.Column("choices", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("conflicts", sa.Column("similar", postgresql.JSONB()))
    op.add_column("conflicts", sa.Column("decided_with", sa.Uuid()))
    op.add_column("conflicts", sa.Column("theirs_at", MOMENT))
    op.add_column("conflicts", sa.Column("read_at", MOMENT, server_default=sa.text("now()"), nullable=False))
    _set_check(AFTER)
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "conflicts", columns, postgresql_where=sa.text(where))


def _set_check(rule: str) -> None:
    op.drop_constraint(op.f("ck_conflicts_resolution"), "conflicts")
    op.create_check_constraint(op.f("ck_conflicts_resolution"), "conflicts", rule)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name="conflicts")
    op.execute("DELETE FROM conflicts WHERE resolution IN ('mixed', 'kept', 'linked', 'created', 'gone')")
    _set_check(BEFORE)
    for name in COLUMNS:
        op.drop_column("conflicts", name)
