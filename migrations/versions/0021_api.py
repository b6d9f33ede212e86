"""keys of the API, answers kept for repeats, connect sessions; ids of the host; changes in the order of their commits"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = ("api_keys", "idempotency_keys", "connect_sessions")
CROSSED = ("api_keys", "connect_sessions")
FUNCTIONS = {
    "lookup_api_key": (
        "hash bytea", "key_id uuid, tenant_id uuid", "SELECT k.id, k.tenant_id FROM api_keys k WHERE k.token_hash = hash",
    ),
    "lookup_connect_token": (
        "hash bytea", "session_id uuid, tenant_id uuid",
        "SELECT s.id, s.tenant_id FROM connect_sessions s WHERE s.token_hash = hash",
    ),
    "lookup_connect_cookie": (
        "hash bytea", "session_id uuid, tenant_id uuid",
        "SELECT s.id, s.tenant_id FROM connect_sessions s WHERE s.cookie_hash = hash",
    ),
    "lookup_tenant": (
        "p_external text", "tenant_id uuid", "SELECT t.id FROM tenants t WHERE t.external_id = p_external",
    ),
}


def _place() -> tuple[sa.Column, ...]:
    return (
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
    )


def _rules(table: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id"), ondelete="CASCADE"),
    )


def upgrade() -> None:
    _tables()
    for table in TABLES:
        for statement in (
            *rls.protect(table), *rls.grant(table, "patchbay_web"),
            *rls.grant(table, "patchbay_worker", "SELECT, DELETE"),
        ):
            op.execute(statement)
    for table in CROSSED:
        for statement in (*rls.allow(table, rls.LOOKUP_ROLE, "SELECT"), *rls.grant(table, rls.LOOKUP_ROLE, "SELECT")):
            op.execute(statement)
    op.execute(f"GRANT CREATE ON SCHEMA public TO {rls.LOOKUP_ROLE}")
    for name, (argument, returns, body) in FUNCTIONS.items():
        for statement in rls.lookup_function(name, argument, returns, body):
            op.execute(statement)
    op.execute(f"REVOKE CREATE ON SCHEMA public FROM {rls.LOOKUP_ROLE}")
    # The host's own id of a record. Rows without one are in no index, so the sync's writes cost what they did.
    op.add_column("records", sa.Column("external_id", sa.Text()))
    op.create_index(
        "uq_records_external_id", "records", ["tenant_id", "object_type", "external_id"], unique=True,
        postgresql_where=sa.text("external_id is not null"),
    )
    # Rows that are there get one number, that of this transaction, without being rewritten.
    op.add_column(
        "changes",
        sa.Column("xid", sa.BigInteger(), server_default=sa.text("((pg_current_xact_id())::text)::bigint"), nullable=False),
    )
    op.create_index(
        "ix_changes_xid", "changes", ["xid"], postgresql_using="brin",
        postgresql_with={"pages_per_range": 16, "autosummarize": True},
    )


def _tables() -> None:
    op.create_table(
        "api_keys", *_place(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("last_used_at", MOMENT),
        sa.Column("replaced_by", sa.Uuid()),
        sa.Column("revoked_at", MOMENT),
        *_rules("api_keys"),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_keys_token_hash")),
        sa.CheckConstraint("kind in ('tenant', 'host')", name=op.f("ck_api_keys_kind")),
    )
    op.create_table(
        "idempotency_keys", *_place(),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("answer", sa.LargeBinary()),
        *_rules("idempotency_keys"),
        sa.UniqueConstraint("tenant_id", "api_key_id", "key", name=op.f("uq_idempotency_keys_tenant_id_api_key_id_key")),
    )
    op.create_table(
        "connect_sessions", *_place(),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary()),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("connector", sa.Text()),
        sa.Column("installation_id", sa.Uuid()),
        sa.Column("return_url", sa.Text()),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("opened_at", MOMENT),
        sa.Column("ends_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        *_rules("connect_sessions"),
        sa.UniqueConstraint("token_hash", name=op.f("uq_connect_sessions_token_hash")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "installation_id"], ["installations.tenant_id", "installations.id"],
            name=op.f("fk_connect_sessions_tenant_id_installation_id"), ondelete="CASCADE",
        ),
        sa.CheckConstraint("kind in ('session', 'link')", name=op.f("ck_connect_sessions_kind")),
    )
    op.create_index("uq_connect_sessions_cookie_hash", "connect_sessions", ["cookie_hash"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_changes_xid", table_name="changes")
    op.drop_column("changes", "xid")
    op.drop_index("uq_records_external_id", table_name="records")
    op.drop_column("records", "external_id")
    for name, (argument, _, _) in FUNCTIONS.items():
        op.execute(f"DROP FUNCTION {name}({argument.split()[-1]})")
    for table in reversed(TABLES):
        op.drop_table(table)
