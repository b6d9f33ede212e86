"""audit entries and problems are found by their installation"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# Acts until now: those on the installation itself, and on what belongs to one.
_OF = {
    "run": "runs", "problem": "problems", "conflict": "conflicts", "failed_record": "failed_records",
}  # fmt: skip
_FILL = """
    UPDATE audit a SET installation_id = o.installation_id FROM {table} o
    WHERE o.tenant_id = a.tenant_id AND a.subject_type = '{kind}' AND a.subject_id = o.id::text
"""
_TABLES = ("audit", "installations", *_OF.values())


def upgrade() -> None:
    op.add_column("audit", sa.Column("installation_id", sa.Uuid()))
    # The owner is forced under the policies as well; for the copy, and only in this transaction, it is not.
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE audit a SET installation_id = i.id FROM installations i WHERE i.tenant_id = a.tenant_id "
        "AND a.subject_type = 'installation' AND a.subject_id = i.id::text"
    )
    op.execute(
        "UPDATE audit a SET installation_id = i.id FROM installations i WHERE i.tenant_id = a.tenant_id "
        "AND a.subject_type = 'connection' AND a.subject_id = i.connection_id::text"
    )
    for kind, table in _OF.items():
        op.execute(_FILL.format(kind=kind, table=table))
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.create_index(
        "ix_audit_installation", "audit", ["tenant_id", "installation_id", "created_at", "id"],
        postgresql_where=sa.text("installation_id is not null"),
    )  # fmt: skip
    op.create_index("ix_problems_installation", "problems", ["tenant_id", "installation_id", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_problems_installation", "problems")
    op.drop_index("ix_audit_installation", "audit")
    op.drop_column("audit", "installation_id")
