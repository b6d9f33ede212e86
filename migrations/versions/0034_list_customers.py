"""the list of customers, for whoever presents a live key of the host"""

from alembic import op

from app import rls

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

NAME, ARGUMENT = "lookup_customers", "hash bytea, p_after uuid, p_limit integer"
RETURNS = "id uuid, external_id text, name text, zone text, created_at timestamptz"
# The key is asked for here as well: the web role alone sees nobody.
BODY = """
SELECT t.id, t.external_id, t.name, t.zone, t.created_at FROM tenants t
WHERE EXISTS (SELECT FROM api_keys k WHERE k.token_hash = hash AND k.kind = 'host' AND k.revoked_at IS NULL
AND (k.expires_at IS NULL OR k.expires_at > now()))
AND t.id <> '00000000-0000-0000-0000-000000000000' AND (p_after IS NULL OR t.id > p_after)
ORDER BY t.id LIMIT p_limit
"""


KINDS = "bytea, uuid, integer"


def upgrade() -> None:
    for statement in (
        f"GRANT CREATE ON SCHEMA public TO {rls.LOOKUP_ROLE}",
        f"CREATE FUNCTION {NAME}({ARGUMENT}) RETURNS TABLE ({RETURNS}) LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = pg_catalog, public, pg_temp AS $$ {BODY} $$",
        f"ALTER FUNCTION {NAME}({KINDS}) OWNER TO {rls.LOOKUP_ROLE}",
        f"REVOKE ALL ON FUNCTION {NAME}({KINDS}) FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {NAME}({KINDS}) TO patchbay_web",
        f"REVOKE CREATE ON SCHEMA public FROM {rls.LOOKUP_ROLE}",
    ):
        op.execute(statement)


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {NAME}({KINDS})")
