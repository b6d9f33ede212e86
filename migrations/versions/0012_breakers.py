"""circuit breakers; errors of single streams; the moment from which an installation is late"""

import sqlalchemy as sa
from alembic import op

from app import rls

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
STREAM_ERROR = ("error_code", "error_message", "error_fix")


def upgrade() -> None:
    op.create_table(
        "breakers",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="closed", nullable=False),
        *(
            sa.Column(name, sa.Integer(), server_default="0", nullable=False)
            for name in ("failures_in_row", "calls", "failures", "retries", "opens_in_row")
        ),
        sa.Column("window_at", MOMENT),
        sa.Column("open_until", MOMENT),
        sa.Column("probe", sa.Uuid()),
        sa.Column("probe_until", MOMENT),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('host', 'connection')", name=op.f("ck_breakers_kind")),
        sa.CheckConstraint("state in ('closed', 'open', 'half_open')", name=op.f("ck_breakers_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breakers")),
        sa.UniqueConstraint("kind", "key", name=op.f("uq_breakers_kind_key")),
    )
    for statement in rls.grant("breakers", "patchbay_worker") + rls.grant("breakers", "patchbay_web", "SELECT"):
        op.execute(statement)
    for name in STREAM_ERROR:
        op.add_column("run_streams", sa.Column(name, sa.Text()))
    op.add_column("schedules", sa.Column("promised_at", MOMENT))
    op.add_column("installation_status", sa.Column("late_at", MOMENT))


def downgrade() -> None:
    op.drop_column("installation_status", "late_at")
    op.drop_column("schedules", "promised_at")
    for name in STREAM_ERROR:
        op.drop_column("run_streams", name)
    op.drop_table("breakers")
