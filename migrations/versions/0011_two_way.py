"""writes to the other side, conflicts of fields, filters, promises"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
LIVE = "state in ('planned', 'sent', 'in_doubt')"


def json_column(name: str, default: str | None = None) -> sa.Column:
    return sa.Column(name, postgresql.JSONB(), server_default=default, nullable=default is None)


def added() -> dict[str, list[sa.Column]]:
    """Table -> columns added to it."""
    return {
        "links": [sa.Column("written_at", MOMENT)],
        "mappings": [json_column("filters", "[]")],
        "installation_streams": [
            sa.Column("direction", sa.Text(), server_default="in", nullable=False),
            sa.Column("conflict_policy", sa.Text(), server_default="theirs", nullable=False),
            sa.Column("fields_checked_at", MOMENT),
            json_column("promise"),
        ],
        "runs": [
            json_column("question"),
            sa.Column("promise_confirmed", sa.Boolean(), server_default="false", nullable=False),
            sa.Column("undone_at", MOMENT),
            sa.Column("undone_by", sa.Uuid()),
        ],
        "run_streams": [sa.Column("filtered", sa.Integer(), server_default="0", nullable=False)],
        "failed_records": [
            sa.Column("direction", sa.Text(), server_default="in", nullable=False),
            sa.Column("record_id", sa.Uuid()),
            json_column("override"),
        ],
        "conflicts": [
            sa.Column("record_id", sa.Uuid()),
            json_column("base", "{}"),
            json_column("ours", "{}"),
            sa.Column("policy", sa.Text()),
            sa.Column("resolution", sa.Text()),
            json_column("edited", "{}"),
            sa.Column("settled_by", sa.Uuid()),
        ],
    }


# (table, name) -> (before, after)
CHECKS = {
    ("conflicts", "kind"): (
        "kind in ('match')", "kind in ('match', 'fields', 'deleted_there', 'deleted_here')",
    ),
    ("conflicts", "resolution"): (None, "resolution in ('theirs', 'ours', 'edited', 'policy', 'agreed')"),
    ("previews", "kind"): (
        "kind in ('choices', 'sample', 'dry_run')",
        "kind in ('choices', 'sample', 'dry_run', 'lookup', 'payload', 'fields')",
    ),
    ("installation_streams", "direction"): (None, "direction in ('in', 'out', 'both')"),
    ("installation_streams", "conflict_policy"): (None, "conflict_policy in ('theirs', 'ours', 'newest', 'ask')"),
    ("failed_records", "direction"): (None, "direction in ('in', 'out')"),
}  # fmt: skip
PLACE = ["tenant_id", "installation_id", "stream", "external_id"]


def upgrade() -> None:
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    _set_checks(after=True)
    op.drop_constraint("uq_failed_records_tenant_id_installation_id_stream_external_id", "failed_records")
    op.create_unique_constraint(
        "uq_failed_records_place", "failed_records", [*PLACE, "direction"]
    )
    op.create_index("ix_conflicts_record", "conflicts", ["tenant_id", "record_id"])
    op.create_index("ix_conflicts_installation", "conflicts", ["tenant_id", "installation_id", "state", "id"])
    _create_intents()


def _set_checks(*, after: bool) -> None:
    for (table, name), pair in CHECKS.items():
        old, new = pair if after else pair[::-1]
        if old:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
        if new:
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, new)


def _create_intents() -> None:
    op.create_table(
        "intents",
        sa.Column("installation_id", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("operation", sa.Text(), server_default="decide", nullable=False),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("again", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        json_column("fields", "[]"),
        json_column("values"),
        json_column("payload"),
        sa.Column("version", sa.Text()),
        sa.Column("mapping_version", sa.Integer()),
        sa.Column("sent_hash", sa.LargeBinary()),
        sa.Column("answer_hash", sa.LargeBinary()),
        sa.Column("echoed_at", MOMENT),
        sa.Column("near_misses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", MOMENT),
        sa.Column("settled_at", MOMENT),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "operation in ('decide', 'create', 'update', 'delete')", name=op.f("ck_intents_operation")
        ),
        sa.CheckConstraint(
            "state in ('planned', 'sent', 'in_doubt', 'confirmed', 'rejected', 'parked', 'dropped')",
            name=op.f("ck_intents_state"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "installation_id"], ["installations.tenant_id", "installations.id"],
            name=op.f("fk_intents_tenant_id_installation_id"), ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_intents")),
    )  # fmt: skip
    place = ["tenant_id", "installation_id", "stream"]
    op.create_index(
        "uq_intents_live", "intents", [*place, "record_id"], unique=True, postgresql_where=sa.text(LIVE)
    )  # fmt: skip
    op.create_index(
        "ix_intents_due", "intents", ["tenant_id", "installation_id", "due_at"], postgresql_where=sa.text(LIVE)
    )  # fmt: skip
    op.create_index("ix_intents_ledger", "intents", [*place, "external_id", "sent_at"])
    op.create_index("ix_intents_record", "intents", ["tenant_id", "record_id", "id"])
    for statement in rls.protect("intents") + rls.grant("intents", "patchbay_web, patchbay_worker"):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("intents")
    op.drop_index("ix_conflicts_record", table_name="conflicts")
    op.drop_index("ix_conflicts_installation", table_name="conflicts")
    # Rows that the narrower rules cannot hold: none of them was known before.
    for statement in (
        "DELETE FROM conflicts WHERE kind <> 'match'",
        "DELETE FROM failed_records WHERE direction = 'out'",
        "DELETE FROM previews WHERE kind NOT IN ('choices', 'sample', 'dry_run')",
    ):
        op.execute(statement)
    op.drop_constraint("uq_failed_records_place", "failed_records")
    op.create_unique_constraint(
        "uq_failed_records_tenant_id_installation_id_stream_external_id", "failed_records", PLACE
    )
    _set_checks(after=False)
    for table, columns in added().items():
        for column in columns:
            op.drop_column(table, column.name)
