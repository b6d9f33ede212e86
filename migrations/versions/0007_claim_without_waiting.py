"""claims do not wait for each other, and a vendor host at its cap holds up nobody's other hosts"""

import runpy
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The gate row serialises the claims of one tenant in one lane, so its cap holds; the advisory lock does the same for
# a vendor host. Both are kept to the end of the claim, so a claim that has passed one over takes the rest only if it
# is free: a gate is waited for with empty hands, once every other was locked; a host never.
CLAIM = """
CREATE OR REPLACE FUNCTION
claim_task(p_lane text, p_worker text, p_lease double precision, p_tenant_cap int, p_host_cap int)
RETURNS TABLE (task_id uuid, task_tenant uuid, task_token bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid;
    v_task uuid;
    v_host text;
    v_tried uuid[] := '{}';
    v_full text[];
BEGIN
    SELECT coalesce(array_agg(full_host), '{}') INTO v_full FROM (
        SELECT t.host AS full_host FROM tasks t WHERE t.state = 'leased' AND t.host IS NOT NULL
        GROUP BY t.host HAVING count(*) >= p_host_cap) f;
    LOOP
        v_tenant := NULL;
        SELECT g.tenant_id INTO v_tenant FROM task_gates g
        WHERE g.lane = p_lane AND g.tenant_id <> ALL (v_tried) AND EXISTS (
            SELECT 1 FROM tasks t WHERE t.lane = p_lane AND t.tenant_id = g.tenant_id AND t.state = 'ready'
            AND t.due_at <= clock_timestamp())
        AND (SELECT count(*) FROM tasks t WHERE t.state = 'leased' AND t.tenant_id = g.tenant_id AND t.lane = p_lane)
            < p_tenant_cap
        ORDER BY g.served_at LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF v_tenant IS NULL AND v_tried = '{}' THEN
            SELECT g.tenant_id INTO v_tenant FROM task_gates g
            WHERE g.lane = p_lane AND EXISTS (
                SELECT 1 FROM tasks t WHERE t.lane = p_lane AND t.tenant_id = g.tenant_id AND t.state = 'ready'
                AND t.due_at <= clock_timestamp())
            AND (SELECT count(*) FROM tasks t WHERE t.state = 'leased' AND t.tenant_id = g.tenant_id AND t.lane = p_lane)
                < p_tenant_cap
            ORDER BY g.served_at LIMIT 1 FOR UPDATE;
        END IF;
        EXIT WHEN v_tenant IS NULL;
        v_tried := v_tried || v_tenant;
        -- Counted again: what was counted above is as old as the wait for the gate.
        CONTINUE WHEN (
            SELECT count(*) FROM tasks t WHERE t.state = 'leased' AND t.tenant_id = v_tenant AND t.lane = p_lane
        ) >= p_tenant_cap;
        LOOP
            v_task := NULL;
            SELECT t.id, t.host INTO v_task, v_host FROM tasks t
            WHERE t.lane = p_lane AND t.tenant_id = v_tenant AND t.state = 'ready' AND t.due_at <= clock_timestamp()
            AND (t.host IS NULL OR t.host <> ALL (v_full))
            ORDER BY t.due_at, t.id LIMIT 1 FOR UPDATE SKIP LOCKED;
            EXIT WHEN v_task IS NULL;
            IF v_host IS NOT NULL AND (
                NOT pg_try_advisory_xact_lock(hashtextextended('host:' || v_host, 11))
                OR (SELECT count(*) FROM tasks t WHERE t.state = 'leased' AND t.host = v_host) >= p_host_cap
            ) THEN
                v_full := v_full || v_host;
                CONTINUE;
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


def upgrade() -> None:
    op.execute(CLAIM)
    # The dispatcher makes the task of a schedule and sees neither installation nor connection.
    op.add_column("schedules", sa.Column("host", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("schedules", "host")
    before = runpy.run_path(str(Path(__file__).with_name("0004_claim_task.py")))["CLAIM"]
    op.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
