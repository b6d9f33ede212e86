"""webhooks in: endpoints with their secrets, deliveries, and what they say about records"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = ("hints", "deliveries", "endpoint_secrets", "endpoints")
TRIGGERS = "trigger in ('first', 'schedule', 'manual', 'resync', 'retry'%s)"
HOOK = """
CREATE FUNCTION lookup_hook(p_address text) RETURNS TABLE (tenant_id uuid, endpoint_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.tenant_id, e.id FROM endpoints e WHERE e.address = p_address AND e.state <> 'removed'
$$
"""
ACCOUNT = """
CREATE FUNCTION lookup_hook_account(p_connector text, p_account text)
RETURNS TABLE (tenant_id uuid, endpoint_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT e.tenant_id, e.id FROM endpoints e WHERE e.connector = p_connector AND e.account = p_account
    AND e.installation_id IS NOT NULL AND e.address IS NULL AND e.state <> 'removed' ORDER BY e.tenant_id, e.id
$$
"""
FUNCTIONS = {"lookup_hook(text)": HOOK, "lookup_hook_account(text, text)": ACCOUNT}


def _table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(
        name, *parts,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"pk_{name}")),
    )  # fmt: skip


def _inner(name: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column], [f"{other}.tenant_id", f"{other}.id"], ondelete="CASCADE",
        name=op.f(f"fk_{name}_tenant_id_{column}"),
    )  # fmt: skip


def upgrade() -> None:
    _endpoints()
    _deliveries()
    for table in TABLES:
        for statement in rls.protect(table) + rls.grant(table, "patchbay_web, patchbay_worker"):
            op.execute(statement)
    for statement in rls.allow("endpoints", "patchbay_lookup", "SELECT") + rls.grant(
        "endpoints", "patchbay_lookup", "SELECT"
    ):
        op.execute(statement)
    for signature, body in FUNCTIONS.items():
        op.execute(body)
        op.execute(f"ALTER FUNCTION {signature} OWNER TO patchbay_lookup")
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO patchbay_web, patchbay_worker")
    op.drop_constraint(op.f("ck_runs_trigger"), "runs")
    op.create_check_constraint(op.f("ck_runs_trigger"), "runs", TRIGGERS % ", 'webhook', 'silence'")


def _endpoints() -> None:
    _table(
        "endpoints",
        sa.Column("installation_id", sa.Uuid()),
        sa.Column("connector", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("account", sa.Text()),
        sa.Column("host", sa.Text()),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("subscription", sa.Text()),
        *(sa.Column(name, MOMENT) for name in ("registered_at", "expires_at", "renew_at", "capture_until")),
        sa.Column("rotate", sa.Boolean(), server_default="false", nullable=False),
        *(sa.Column(name, sa.Text()) for name in ("error_code", "error_message", "error_fix")),
        sa.Column("silent_since", MOMENT),
        sa.Column("silence_run_id", sa.Uuid()),
        sa.Column("silence_checked_at", MOMENT),
        sa.Column("missed", sa.Integer()),
        sa.CheckConstraint("state in ('waiting', 'active', 'failed', 'removed')", name=op.f("ck_endpoints_state")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], ondelete="CASCADE", name=op.f("fk_endpoints_tenant_id")),
        _inner("endpoints", "installation_id", "installations"),
        sa.UniqueConstraint("tenant_id", "installation_id", name=op.f("uq_endpoints_tenant_id_installation_id")),
    )
    op.create_index("ix_endpoints_address", "endpoints", ["address"], unique=True)
    op.create_index(
        "ix_endpoints_account", "endpoints", ["connector", "account"], postgresql_where="account is not null"
    )
    op.create_index(
        "uq_endpoints_shared", "endpoints", ["tenant_id", "connector"], unique=True,
        postgresql_where="installation_id is null",
    )  # fmt: skip
    _table(
        "endpoint_secrets",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", MOMENT),
        _inner("endpoint_secrets", "endpoint_id", "endpoints"),
        sa.UniqueConstraint(
            "tenant_id", "endpoint_id", "version", name=op.f("uq_endpoint_secrets_tenant_id_endpoint_id_version")
        ),
    )


def _deliveries() -> None:
    _table(
        "deliveries",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("sealed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), server_default="0", nullable=False),
        sa.Column("copied_at", MOMENT),
        sa.Column("replays", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint(
            "verdict in ('accepted', 'duplicate', 'bad_signature', 'stale', 'unknown_account')",
            name=op.f("ck_deliveries_verdict"),
        ),
        _inner("deliveries", "endpoint_id", "endpoints"),
    )
    place = ["tenant_id", "endpoint_id"]
    op.create_index(
        "uq_deliveries_event", "deliveries", [*place, "event_id"], unique=True, postgresql_where="verdict = 'accepted'"
    )
    op.create_index("ix_deliveries_log", "deliveries", [*place, "id"])
    op.create_index(
        "ix_deliveries_refused", "deliveries", [*place, "created_at"], postgresql_where="verdict <> 'accepted'"
    )
    _table(
        "hints",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("installation_id", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("settled_at", MOMENT),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("action in ('upsert', 'delete', 'resync')", name=op.f("ck_hints_action")),
        sa.CheckConstraint("state in ('waiting', 'applied', 'nothing', 'later', 'failed')", name=op.f("ck_hints_state")),
        _inner("hints", "delivery_id", "deliveries"),
    )
    op.create_index("ix_hints_delivery", "hints", ["tenant_id", "delivery_id"])
    op.create_index(
        "ix_hints_waiting", "hints", ["tenant_id", "installation_id", "stream", "external_id"],
        postgresql_where="state = 'waiting'",
    )  # fmt: skip


def downgrade() -> None:
    # Runs that were started by what is taken away were asked for by nobody in particular.
    op.execute("ALTER TABLE runs NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE runs SET trigger = 'schedule' WHERE trigger IN ('webhook', 'silence')")
    op.execute("ALTER TABLE runs FORCE ROW LEVEL SECURITY")
    op.drop_constraint(op.f("ck_runs_trigger"), "runs")
    op.create_check_constraint(op.f("ck_runs_trigger"), "runs", TRIGGERS % "")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    for table in TABLES:
        op.drop_table(table)
