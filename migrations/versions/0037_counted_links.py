"""links are counted, and closed problems found by time, from an index alone"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

PLACE = ["tenant_id", "installation_id", "stream", "external_id"]


def upgrade() -> None:
    op.create_index("uq_links_place", "links", PLACE, unique=True, postgresql_include=["deleted_at"])
    op.drop_constraint("uq_links_tenant_id_installation_id_stream_external_id", "links")
    op.create_index(
        "ix_problems_closed", "problems", ["tenant_id", "installation_id", "closed_at", "id"],
        postgresql_where="state = 'closed'",
    )


def downgrade() -> None:
    op.drop_index("ix_problems_closed", "problems")
    op.create_unique_constraint("uq_links_tenant_id_installation_id_stream_external_id", "links", PLACE)
    op.drop_index("uq_links_place", "links")
