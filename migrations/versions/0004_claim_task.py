"""claim a task: tenant first, then its oldest due one"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The gate row serialises the claims of one tenant in one lane, so its cap holds; the advisory lock does the same for
# a vendor host. A gate that is locked is passed over at first and waited for when nothing else was found.
CLAIM = """
CREATE FUNCTION claim_task(p_lane text, p_worker text, p_lease double precision, p_tenant_cap int, p_host_cap int)
RETURNS TABLE (task_id uuid, task_tenant uuid, task_token bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid;
    v_task uuid;
    v_host text;
    v_tried uuid[] := '{}';
    v_wait boolean := false;
BEGIN
    LOOP
        v_tenant := NULL;
        IF v_wait THEN
            SELECT g.tenant_id INTO v_tenant FROM task_gates g
            WHERE g.lane = p_lane AND g.tenant_id <> ALL (v_tried) AND EXISTS (
                SELECT 1 FROM tasks t WHERE t.lane = p_lane AND t.tenant_id = g.tenant_id AND t.state = 'ready'
                AND t.due_at <= clock_timestamp())
            ORDER BY g.served_at LIMIT 1 FOR UPDATE;
        ELSE
            SELECT g.tenant_id INTO v_tenant FROM task_gates g
            WHERE g.lane = p_lane AND g.tenant_id <> ALL (v_tried) AND EXISTS (
                SELECT 1 FROM tasks t WHERE t.lane = p_lane AND t.tenant_id = g.tenant_id AND t.state = 'ready'
                AND t.due_at <= clock_timestamp())
            ORDER BY g.served_at LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        IF v_tenant IS NULL THEN
            EXIT WHEN v_wait;
            v_wait := true;
            CONTINUE;
        END IF;
        v_tried := v_tried || v_tenant;
        CONTINUE WHEN (
            SELECT count(*) FROM tasks t WHERE t.state = 'leased' AND t.tenant_id = v_tenant AND t.lane = p_lane
        ) >= p_tenant_cap;
        FOR v_task, v_host IN
            SELECT t.id, t.host FROM tasks t WHERE t.lane = p_lane AND t.tenant_id = v_tenant AND t.state = 'ready'
            AND t.due_at <= clock_timestamp() ORDER BY t.due_at, t.id LIMIT 10 FOR UPDATE SKIP LOCKED
        LOOP
            IF v_host IS NOT NULL THEN
                PERFORM pg_advisory_xact_lock(hashtextextended('host:' || v_host, 11));
                CONTINUE WHEN (
                    SELECT count(*) FROM tasks t WHERE t.state = 'leased' AND t.host = v_host
                ) >= p_host_cap;
            END IF;
            UPDATE task_gates g SET served_at = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
            WHERE g.tenant_id = v_tenant AND g.lane = p_lane;
            RETURN QUERY UPDATE tasks t SET state = 'leased', lease_token = t.lease_token + 1,
                attempts = t.attempts + 1, leased_by = p_worker, rerun = false,
                lease_until = clock_timestamp() + make_interval(secs => p_lease)
                WHERE t.tenant_id = v_tenant AND t.id = v_task RETURNING t.id, t.tenant_id, t.lease_token;
            RETURN;
        END LOOP;
    END LOOP;
END $$
"""
WAITS = """
CREATE FUNCTION lane_waits(p_lane text, p_tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM tasks t WHERE t.lane = p_lane AND t.state = 'ready'
                   AND t.due_at <= clock_timestamp() AND t.tenant_id <> p_tenant)
$$
"""
TENANTS = """
CREATE FUNCTION lookup_tenants() RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT t.id FROM tenants t ORDER BY t.id
$$
"""
SIGNATURES = {
    "claim_task": "text, text, double precision, int, int",
    "lane_waits": "text, uuid",
    "lookup_tenants": "",
}


def upgrade() -> None:
    op.execute("GRANT CREATE ON SCHEMA public TO patchbay_lookup")
    op.execute("GRANT SELECT ON tenants TO patchbay_lookup")
    op.execute("CREATE POLICY patchbay_lookup_crosses ON tenants FOR SELECT TO patchbay_lookup USING (true)")
    for statement in (CLAIM, WAITS, TENANTS):
        op.execute(statement)
    for name, signature in SIGNATURES.items():
        op.execute(f"ALTER FUNCTION {name}({signature}) OWNER TO patchbay_lookup")
        op.execute(f"REVOKE ALL ON FUNCTION {name}({signature}) FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {name}({signature}) TO patchbay_worker")
    op.execute("REVOKE CREATE ON SCHEMA public FROM patchbay_lookup")


def downgrade() -> None:
    for name, signature in SIGNATURES.items():
        op.execute(f"DROP FUNCTION {name}({signature})")
    op.execute("DROP POLICY patchbay_lookup_crosses ON tenants")
    op.execute("REVOKE SELECT ON tenants FROM patchbay_lookup")
