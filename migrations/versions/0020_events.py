"""events, subscriptions, dispatches and attempts; what writes an event, and what wakes the fan-out

Events are written by triggers: conflicts and problems are changed by a dozen statements, and none of them can leave one
out. A deferred trigger wakes the fan-out as the last of a transaction, so that its lock is always the last one taken.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("now()")
TABLES = ("events", "event_sequences", "subscriptions", "subscription_secrets", "dispatches", "attempts")

# UUIDv7 as app/ids.py makes them, to the millisecond.
NEW_ID = """
CREATE FUNCTION new_event_id() RETURNS uuid LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
        substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1),
        'hex')::uuid
$$"""
# Who listens: the tenant itself, the host, both or nobody. Asked by each transaction of a sync, so it keeps its plan.
LISTENERS = """
CREATE FUNCTION lookup_listeners(p_tenant uuid, p_records boolean) RETURNS TABLE (listener uuid)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT s.tenant_id FROM subscriptions s
    WHERE s.tenant_id IN (p_tenant, '00000000-0000-0000-0000-000000000000') AND s.state = 'active'
    AND (NOT p_records OR s.types = '[]' OR s.types::text LIKE '%"record.%');
END $$"""
# Of changes whose transaction has not said it: everything but the pages of a sync.
FAN_OUT_NOW = """
CREATE FUNCTION fan_out_now() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM lookup_listeners(nullif(current_setting('patchbay.tenant', true), '')::uuid,
        true)) THEN 'new' ELSE 'done' END
$$"""
WRITE_EVENT = """
CREATE FUNCTION write_event(p_tenant uuid, p_type text, p_subject uuid, p_data jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO events (tenant_id, id, type, subject_id, data, fan_out) SELECT p_tenant, new_event_id(), p_type,
        p_subject, p_data, CASE WHEN EXISTS (SELECT FROM lookup_listeners(p_tenant, false)) THEN 'new' ELSE 'done' END
$$"""
# As services/tasks.add_task does it.
WAKE = """
CREATE FUNCTION wake_fan_out() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF current_setting('patchbay.woken', true) = NEW.tenant_id::text THEN RETURN NULL; END IF;
    PERFORM set_config('patchbay.woken', NEW.tenant_id::text, true);
    INSERT INTO task_gates (tenant_id, lane) VALUES (NEW.tenant_id, 'send') ON CONFLICT DO NOTHING;
    INSERT INTO tasks (tenant_id, id, lane, kind, key, due_at, max_attempts)
    VALUES (NEW.tenant_id, new_event_id(), 'send', 'fan_out', 'fan_out', clock_timestamp(), 20)
    ON CONFLICT (tenant_id, kind, key) WHERE state IN ('ready', 'leased') DO UPDATE SET
        rerun = tasks.rerun OR tasks.state = 'leased',
        due_at = CASE WHEN tasks.state = 'leased' AND NOT tasks.rerun THEN excluded.due_at
            ELSE least(tasks.due_at, excluded.due_at) END;
    RETURN NULL;
END $$"""
TELL_INSTALLATION = """
CREATE FUNCTION tell_installation() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_type text;
BEGIN
    v_type := CASE
        WHEN TG_OP = 'INSERT' THEN 'created'
        WHEN NEW.state = 'removed' AND OLD.state <> 'removed' THEN 'removed'
        WHEN NEW.state = 'paused' AND OLD.state <> 'paused' THEN 'paused'
        WHEN NEW.state = 'active' AND OLD.state = 'setting_up' THEN 'activated'
        WHEN NEW.state = 'active' AND OLD.state = 'paused' THEN 'resumed'
        WHEN NEW.blocked_code IS NOT NULL AND NEW.blocked_code IS DISTINCT FROM OLD.blocked_code THEN 'blocked'
        WHEN NEW.blocked_code IS NULL AND OLD.blocked_code IS NOT NULL THEN 'unblocked' END;
    IF v_type IS NOT NULL THEN
        PERFORM write_event(NEW.tenant_id, 'installation.' || v_type, NEW.id, jsonb_build_object(
            'installation_id', NEW.id, 'connector', NEW.connector, 'name', NEW.name, 'state', NEW.state,
            'blocked_code', NEW.blocked_code));
    END IF;
    RETURN NULL;
END $$"""
TELL_RUN = """
CREATE FUNCTION tell_run() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_type text;
    v_counts jsonb;
BEGIN
    v_type := CASE NEW.state WHEN 'running' THEN 'started' WHEN 'done' THEN 'finished' WHEN 'failed' THEN 'failed'
        WHEN 'stopped' THEN 'stopped' WHEN 'asking' THEN 'asked' END;
    IF TG_OP = 'UPDATE' THEN
        -- A run that goes on after an answer has started long ago.
        IF NEW.state = OLD.state OR (v_type = 'started' AND OLD.started_at IS NOT NULL) THEN RETURN NULL; END IF;
    END IF;
    IF v_type IS NULL THEN RETURN NULL; END IF;
    SELECT jsonb_build_object('read', coalesce(sum(s.read), 0), 'created', coalesce(sum(s.created), 0), 'updated',
        coalesce(sum(s.updated), 0), 'linked', coalesce(sum(s.linked), 0), 'deleted', coalesce(sum(s.deleted), 0),
        'failed', coalesce(sum(s.failed), 0), 'conflicts', coalesce(sum(s.conflicts), 0)) INTO v_counts
    FROM run_streams s WHERE s.tenant_id = NEW.tenant_id AND s.run_id = NEW.id;
    PERFORM write_event(NEW.tenant_id, 'run.' || v_type, NEW.id, jsonb_build_object('run_id', NEW.id,
        'installation_id', NEW.installation_id, 'trigger', NEW.trigger, 'mode', NEW.mode, 'state', NEW.state,
        'error_code', NEW.error_code, 'counts', v_counts));
    RETURN NULL;
END $$"""
TELL_CONFLICT = """
CREATE FUNCTION tell_conflict() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM write_event(NEW.tenant_id, CASE NEW.state WHEN 'open' THEN 'conflict.opened' ELSE 'conflict.settled' END,
        NEW.id, jsonb_build_object('conflict_id', NEW.id, 'installation_id', NEW.installation_id, 'stream', NEW.stream,
        'external_id', NEW.external_id, 'record_id', nullif(NEW.record_id, '00000000-0000-0000-0000-000000000000'),
        'kind', NEW.kind, 'state', NEW.state, 'resolution', NEW.resolution,
        'fields', (SELECT coalesce(jsonb_agg(k), '[]') FROM jsonb_object_keys(NEW.theirs) k)));
    RETURN NULL;
END $$"""
TELL_PROBLEM = """
CREATE FUNCTION tell_problem() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM write_event(NEW.tenant_id, CASE NEW.state WHEN 'open' THEN 'problem.opened' ELSE 'problem.closed' END,
        NEW.id, jsonb_build_object('problem_id', NEW.id, 'installation_id', NEW.installation_id, 'code', NEW.code,
        'state', NEW.state, 'message', NEW.message, 'fix', NEW.fix, 'stops_sync', NEW.stops_sync));
    RETURN NULL;
END $$"""
TELL_SUBSCRIPTION = """
CREATE FUNCTION tell_subscription() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM write_event(NEW.tenant_id, 'subscription.disabled', NEW.id, jsonb_build_object('subscription_id', NEW.id,
        'name', NEW.name, 'code', NEW.disabled_code));
    RETURN NULL;
END $$"""
MOVED = "OLD.state IS DISTINCT FROM NEW.state"
# name -> (when, table, condition, function)
TRIGGERS = {
    "wake_by_change": ("CONSTRAINT", "AFTER INSERT", "changes", "NEW.fan_out = 'new'", "wake_fan_out"),
    "wake_by_event": ("CONSTRAINT", "AFTER INSERT", "events", "NEW.fan_out = 'new'", "wake_fan_out"),
    "tell_installation_new": ("", "AFTER INSERT", "installations", "true", "tell_installation"),
    "tell_installation": (
        "", "AFTER UPDATE OF state, blocked_code", "installations",
        f"{MOVED} OR OLD.blocked_code IS DISTINCT FROM NEW.blocked_code", "tell_installation",
    ),
    "tell_run_new": ("", "AFTER INSERT", "runs", "NEW.state <> 'queued'", "tell_run"),
    "tell_run": ("", "AFTER UPDATE OF state", "runs", MOVED, "tell_run"),
    # What a policy has decided at once was never open.
    "tell_conflict_new": ("", "AFTER INSERT", "conflicts", "NEW.state = 'open'", "tell_conflict"),
    "tell_conflict": ("", "AFTER UPDATE OF state", "conflicts", MOVED, "tell_conflict"),
    "tell_problem_new": ("", "AFTER INSERT", "problems", "NEW.state = 'open'", "tell_problem"),
    "tell_problem": ("", "AFTER UPDATE OF state", "problems", MOVED, "tell_problem"),
    "tell_subscription": (
        "", "AFTER UPDATE OF state", "subscriptions", f"NEW.state = 'disabled' AND {MOVED}", "tell_subscription",
    ),
}  # fmt: skip
FUNCTIONS = (
    NEW_ID, LISTENERS, FAN_OUT_NOW, WRITE_EVENT, WAKE, TELL_INSTALLATION, TELL_RUN, TELL_CONFLICT, TELL_PROBLEM,
    TELL_SUBSCRIPTION,
)  # fmt: skip
FAN_OUT = "coalesce(nullif(current_setting('patchbay.fan_out', true), ''), fan_out_now())"


def json_column(name: str, default: str | None = None) -> sa.Column:
    return sa.Column(name, postgresql.JSONB(), server_default=default, nullable=default is None)


def make(table: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(
        table, *parts,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{table}")),
    )  # fmt: skip


def of(column: str, table: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column], [f"{target}.tenant_id", f"{target}.id"],
        name=op.f(f"fk_{table}_tenant_id_{column}"), ondelete="CASCADE",
    )  # fmt: skip


def text(name: str, default: str | None = None, *, null: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text(), server_default=default, nullable=null)


def number(name: str, *, null: bool = False) -> sa.Column:
    return sa.Column(name, sa.Integer(), server_default=None if null else "0", nullable=null)


def upgrade() -> None:
    _make_events()
    _make_subscriptions()
    _make_dispatches()
    for statement in (*_guards(), *FUNCTIONS):
        op.execute(statement)
    statements = [
        "ALTER FUNCTION lookup_listeners(uuid, boolean) OWNER TO patchbay_lookup",
        "REVOKE ALL ON FUNCTION lookup_listeners(uuid, boolean) FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION lookup_listeners(uuid, boolean) TO patchbay_web, patchbay_worker",
        # Nobody has heard of what was written until now, and nobody will.
        "ALTER TABLE changes NO FORCE ROW LEVEL SECURITY",
        "UPDATE changes SET fan_out = 'done'",
        "ALTER TABLE changes FORCE ROW LEVEL SECURITY",
    ]
    for name, (kind, moment, table, condition, function) in TRIGGERS.items():
        late = " DEFERRABLE INITIALLY DEFERRED" if kind else ""
        statements.append(
            f"CREATE {kind} TRIGGER {name} {moment} ON {table}{late} FOR EACH ROW WHEN ({condition}) "
            f"EXECUTE FUNCTION {function}()"
        )
    for statement in statements:
        op.execute(statement)
    op.alter_column("changes", "fan_out", server_default=sa.text(FAN_OUT))
    op.create_index("ix_changes_new", "changes", ["tenant_id", "id"], postgresql_where=sa.text("fan_out = 'new'"))


def _make_events() -> None:
    make(
        "events", text("type"), sa.Column("subject_id", sa.Uuid(), nullable=False), json_column("data", "{}"),
        text("fan_out", "new"), sa.CheckConstraint("fan_out in ('new', 'done')", name=op.f("ck_events_fan_out")),
    )  # fmt: skip
    op.create_index("ix_events_new", "events", ["tenant_id", "id"], postgresql_where=sa.text("fan_out = 'new'"))
    op.create_table(
        "event_sequences",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "subject_id", name=op.f("pk_event_sequences")),
    )


def _make_subscriptions() -> None:
    make(
        "subscriptions", text("name"), text("url"),
        *(json_column(name, "[]") for name in ("types", "object_types", "fields")),
        text("state", "active"), text("disabled_code", null=True),
        *(sa.Column(name, MOMENT) for name in ("disabled_at", "failing_since", "delivered_at", "not_before")),
        json_column("breaker"), sa.Column("created_by", sa.Uuid()),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint("state in ('active', 'disabled', 'removed')", name=op.f("ck_subscriptions_state")),
        sa.CheckConstraint(
            "disabled_code in ('person', 'gone', 'failing')", name=op.f("ck_subscriptions_disabled_code")
        ),
    )  # fmt: skip
    make(
        "subscription_secrets", sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False), sa.Column("expires_at", MOMENT),
        of("subscription_id", "subscription_secrets", "subscriptions"),
    )  # fmt: skip
    op.create_index("ix_subscription_secrets_subscription", "subscription_secrets", ["tenant_id", "subscription_id"])


def _make_dispatches() -> None:
    ids = ("subscription_id", "event_id", "subject_id")
    place = ["tenant_id", "subscription_id"]
    make(
        "dispatches", *(sa.Column(name, sa.Uuid(), nullable=False) for name in ids), text("type"),
        sa.Column("sequence", sa.BigInteger(), nullable=False), sa.Column("body", sa.LargeBinary(), nullable=False),
        text("state", "pending"), number("tries"), number("attempts"),
        sa.Column("due_at", MOMENT, server_default=NOW, nullable=False), sa.Column("finished_at", MOMENT),
        number("status", null=True), text("error", null=True),
        of("subscription_id", "dispatches", "subscriptions"),
        sa.UniqueConstraint(*place, "event_id", name=op.f("uq_dispatches_tenant_id_subscription_id_event_id")),
        sa.CheckConstraint(
            "state in ('pending', 'sending', 'delivered', 'failed')", name=op.f("ck_dispatches_state")
        ),
    )  # fmt: skip
    for name, columns, state in (
        ("due", [*place, "due_at", "id"], "pending"), ("sending", ["tenant_id", "id"], "sending"),
        ("failed", [*place, "id"], "failed"), ("log", [*place, "id"], None),
    ):  # fmt: skip
        where = sa.text(f"state = '{state}'") if state else None
        op.create_index(f"ix_dispatches_{name}", "dispatches", columns, postgresql_where=where)
    make(
        "attempts", sa.Column("dispatch_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False), text("outcome", "sending"),
        number("ms", null=True), number("status", null=True), text("error", null=True), text("response", null=True),
        sa.Column("next_at", MOMENT), of("dispatch_id", "attempts", "dispatches"),
        sa.CheckConstraint(
            "outcome in ('sending', 'delivered', 'failed', 'lost')", name=op.f("ck_attempts_outcome")
        ),
    )  # fmt: skip
    op.create_index("ix_attempts_dispatch", "attempts", ["tenant_id", "dispatch_id", "id"])


def _guards() -> list[str]:
    statements = [statement for table in TABLES for statement in rls.protect(table)]
    for table in TABLES:
        statements += rls.grant(table, "patchbay_worker")
    web = {
        "events": "SELECT, INSERT", "subscriptions": "SELECT, INSERT, UPDATE", "dispatches": "SELECT, INSERT, UPDATE",
        "attempts": "SELECT", "subscription_secrets": "INSERT, UPDATE (expires_at)",
    }  # fmt: skip
    for table, rights in web.items():
        statements += rls.grant(table, "patchbay_web", rights)
    # Not even as ciphertext.
    columns = "tenant_id, id, created_at, subscription_id, expires_at"
    statements += rls.grant("subscription_secrets", "patchbay_web", f"SELECT ({columns})")
    statements += rls.grant("subscriptions", "patchbay_lookup", "SELECT")
    statements += rls.allow("subscriptions", "patchbay_lookup", "SELECT")
    return statements


def downgrade() -> None:
    op.drop_index("ix_changes_new", "changes")
    op.alter_column("changes", "fan_out", server_default="new")
    for name, (_, _, table, _, _) in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
    for name in ("tell_subscription", "tell_problem", "tell_conflict", "tell_run", "tell_installation", "wake_fan_out"):
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION write_event(uuid, text, uuid, jsonb)")
    op.execute("DROP FUNCTION fan_out_now()")
    op.execute("DROP FUNCTION lookup_listeners(uuid, boolean)")
    op.execute("DROP FUNCTION new_event_id()")
    for table in reversed(TABLES):
        op.drop_table(table)
