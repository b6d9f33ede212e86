"""what moved in each stream, by the day"""

import sqlalchemy as sa
from alembic import op

from app import rls

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

COUNTS = ("created", "updated", "deleted", "read", "pages", "written_create", "written_update", "written_delete")


def upgrade() -> None:
    op.create_table(
        "stream_volumes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("installation_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("tenant_id", "installation_id", "day", "stream", name=op.f("pk_stream_volumes")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "installation_id"], ["installations.tenant_id", "installations.id"], ondelete="CASCADE",
            name=op.f("fk_stream_volumes_tenant_id_installations"),
        ),
    )
    rights = rls.grant("stream_volumes", "patchbay_web", "SELECT") + rls.grant("stream_volumes", "patchbay_worker")
    for statement in rights + rls.protect("stream_volumes"):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("stream_volumes")
