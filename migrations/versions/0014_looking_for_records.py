"""refused records found by their match key, deleted records found by value, the preview of a diagnosis"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

KINDS = "'choices', 'sample', 'dry_run', 'lookup', 'payload', 'fields'"


def upgrade() -> None:
    op.add_column("failed_records", sa.Column("match_value", sa.Text()))
    op.create_index(
        "ix_failed_records_match", "failed_records", ["tenant_id", "match_value"],
        postgresql_where=sa.text("match_value is not null"),
    )
    op.create_index(
        "ix_failed_records_record", "failed_records", ["tenant_id", "record_id"],
        postgresql_where=sa.text("record_id is not null"),
    )
    op.create_index(
        "ix_records_deleted", "records", ["tenant_id", "object_type", "updated_at", "id"],
        postgresql_where=sa.text("deleted_at is not null"),
    )
    _set_kinds(f"kind in ({KINDS}, 'diagnosis')")


def downgrade() -> None:
    op.execute("DELETE FROM previews WHERE kind = 'diagnosis'")
    _set_kinds(f"kind in ({KINDS})")
    op.drop_index("ix_records_deleted", "records")
    op.drop_index("ix_failed_records_record", "failed_records")
    op.drop_index("ix_failed_records_match", "failed_records")
    op.drop_column("failed_records", "match_value")


def _set_kinds(condition: str) -> None:
    op.drop_constraint(op.f("ck_previews_kind"), "previews", type_="check")
    op.create_check_constraint(op.f("ck_previews_kind"), "previews", condition)
