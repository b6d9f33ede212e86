"""a page checks less: rows that are only written together need no foreign key"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("fk_links_tenant_id_installation_id", "links")
    op.drop_constraint("fk_links_tenant_id_record_id", "links")
    op.drop_constraint("fk_record_keys_tenant_id_record_id", "record_keys")
    op.drop_index("ix_changes_created", "changes")


def downgrade() -> None:
    op.create_index("ix_changes_created", "changes", ["tenant_id", "created_at"])
    op.create_foreign_key(
        "fk_links_tenant_id_record_id", "links", "records", ["tenant_id", "record_id"], ["tenant_id", "id"],
        ondelete="CASCADE",
    )
    op.create_foreign_key(
        "fk_record_keys_tenant_id_record_id", "record_keys", "records", ["tenant_id", "record_id"], ["tenant_id", "id"],
        ondelete="CASCADE",
    )
    op.create_foreign_key(
        "fk_links_tenant_id_installation_id", "links", "installations", ["tenant_id", "installation_id"],
        ["tenant_id", "id"], ondelete="CASCADE",
    )
