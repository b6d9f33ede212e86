"""pages of large tenants read indexes alone: what is live, open or counted lies together"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

BROWSE = ["tenant_id", "object_type", "updated_at", "id"]
SETTLED = ["tenant_id", "installation_id", "settled_at"]
LOG = ["tenant_id", "endpoint_id", "id"]


def upgrade() -> None:
    op.create_index(
        "ix_runs_unfinished", "runs", ["tenant_id", "installation_id"],
        postgresql_where="state in ('queued', 'running', 'asking')",
    )
    op.drop_index("ix_records_browse", "records")
    op.create_index("ix_records_browse", "records", BROWSE, postgresql_where="deleted_at is null")
    op.create_index(
        "ix_failed_records_cause", "failed_records", ["tenant_id", "installation_id", "direction", "stream", "code", "id"],
        postgresql_include=["field", "created_at", "last_failed_at", "retry_at"],
        postgresql_where="state in ('waiting', 'parked')",
    )
    op.drop_index("ix_intents_settled", "intents")
    op.create_index(
        "ix_intents_settled", "intents", SETTLED, postgresql_include=["state", "stream", "operation"],
        postgresql_where="settled_at is not null",
    )
    op.drop_index("ix_deliveries_log", "deliveries")
    op.create_index("ix_deliveries_log", "deliveries", LOG, postgresql_include=["verdict", "copies"])


def downgrade() -> None:
    op.drop_index("ix_deliveries_log", "deliveries")
    op.create_index("ix_deliveries_log", "deliveries", LOG)
    op.drop_index("ix_intents_settled", "intents")
    op.create_index("ix_intents_settled", "intents", SETTLED, postgresql_where="settled_at is not null")
    op.drop_index("ix_failed_records_cause", "failed_records")
    op.drop_index("ix_records_browse", "records")
    op.create_index("ix_records_browse", "records", BROWSE)
    op.drop_index("ix_runs_unfinished", "runs")
