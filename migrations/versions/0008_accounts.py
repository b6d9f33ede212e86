"""ended sessions and links are pruned, and a worker sends the link for a new password"""

from alembic import op

from app import rls

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Sessions and links belong to a person, so no tenant's pruning sees them. Each returns how many rows went.
SESSIONS = """
CREATE FUNCTION prune_sessions(p_ended timestamptz, p_idle timestamptz, p_batch int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM sessions WHERE id IN (
            SELECT s.id FROM sessions s WHERE s.expires_at < p_ended OR s.seen_at < p_idle LIMIT p_batch
        ) RETURNING 1
    ) SELECT count(*) FROM gone
$$
"""
TOKENS = """
CREATE FUNCTION prune_user_tokens(p_ended timestamptz, p_batch int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM user_tokens WHERE id IN (
            SELECT t.id FROM user_tokens t WHERE t.expires_at < p_ended LIMIT p_batch
        ) RETURNING 1
    ) SELECT count(*) FROM gone
$$
"""
SIGNATURES = {"prune_sessions": "timestamptz, timestamptz, int", "prune_user_tokens": "timestamptz, int"}
TABLES = ("sessions", "user_tokens")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"GRANT DELETE ON {table} TO {rls.LOOKUP_ROLE}")
        op.execute(f"CREATE POLICY {rls.LOOKUP_ROLE}_prunes ON {table} FOR DELETE TO {rls.LOOKUP_ROLE} USING (true)")
    for statement in (SESSIONS, TOKENS):
        op.execute(statement)
    op.execute(f"GRANT CREATE ON SCHEMA public TO {rls.LOOKUP_ROLE}")
    for name, signature in SIGNATURES.items():
        op.execute(f"ALTER FUNCTION {name}({signature}) OWNER TO {rls.LOOKUP_ROLE}")
        op.execute(f"REVOKE ALL ON FUNCTION {name}({signature}) FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name}({signature}) TO patchbay_worker")
    op.execute(f"REVOKE CREATE ON SCHEMA public FROM {rls.LOOKUP_ROLE}")
    op.execute("GRANT SELECT, INSERT, DELETE ON user_tokens TO patchbay_worker")


def downgrade() -> None:
    op.execute("REVOKE SELECT, INSERT, DELETE ON user_tokens FROM patchbay_worker")
    for name, signature in SIGNATURES.items():
        op.execute(f"DROP FUNCTION {name}({signature})")
    for table in TABLES:
        op.execute(f"DROP POLICY {rls.LOOKUP_ROLE}_prunes ON {table}")
        op.execute(f"REVOKE DELETE ON {table} FROM {rls.LOOKUP_ROLE}")
