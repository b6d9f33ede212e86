"""the fleet, and a tenant's leave for support to read it"""

import sqlalchemy as sa
from alembic import op

from app import rls

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = ("installation_status", "support_grants")
# What installations are at the moment of the migration; records and conflicts are counted at the next change.
FILL = """
INSERT INTO installation_status (tenant_id, id, tenant_name, connector, version, status, last_success_at, created_at)
SELECT i.tenant_id, i.id, t.name, i.connector, v.label, CASE
    WHEN i.state = 'setting_up' THEN 'setting_up' WHEN i.blocked_code IS NOT NULL THEN 'action_needed'
    WHEN i.state = 'paused' THEN 'paused' WHEN i.failures_in_row > 0 THEN 'failing' ELSE 'healthy' END,
    i.last_success_at, now()
FROM installations i JOIN tenants t ON t.id = i.tenant_id JOIN listing_versions v ON v.id = i.listing_version_id
WHERE i.state <> 'removed'
"""


def upgrade() -> None:
    op.create_table('installation_status',
    sa.Column('tenant_name', sa.Text(), nullable=False),
    sa.Column('connector', sa.Text(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('signature', sa.Text(), nullable=True),
    sa.Column('last_success_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("status in ('healthy', 'incomplete', 'failing', 'action_needed', 'paused', 'setting_up')", name=op.f('ck_installation_status_status')),
    sa.ForeignKeyConstraint(['tenant_id', 'id'], ['installations.tenant_id', 'installations.id'], name=op.f('fk_installation_status_tenant_id_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_installation_status'))
    )
    op.create_index('ix_installation_status_id', 'installation_status', ['id'], unique=False)
    op.create_index('ix_installation_status_signature', 'installation_status', ['signature', 'id'], unique=False)
    op.create_table('support_grants',
    sa.Column('granted_by', sa.Uuid(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('tenant_id', sa.Uuid(), nullable=False),
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("expires_at <= created_at + interval '72 hours'", name=op.f('ck_support_grants_hours')),
    sa.ForeignKeyConstraint(['tenant_id'], ['tenants.id'], name=op.f('fk_support_grants_tenant_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('tenant_id', 'id', name=op.f('pk_support_grants'))
    )
    op.create_index('ix_support_grants_expires', 'support_grants', ['tenant_id', 'expires_at'], unique=False)
    # The owner is forced under the policies as well; for the copy, and only in this transaction, it is not.
    for table in ("installations", "tenants"):
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(FILL)
    for table in ("installations", "tenants"):
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    statements = rls.grant("installation_status", "patchbay_web, patchbay_worker")
    # A grant is never rewritten or deleted by a login role: it can only be ended.
    statements += rls.grant("support_grants", "patchbay_web", "SELECT, INSERT, UPDATE (ended_at)")
    statements += rls.grant("support_grants", "patchbay_worker", "SELECT")
    for table in TABLES:
        statements += rls.protect(table) + rls.allow_staff(table)
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
