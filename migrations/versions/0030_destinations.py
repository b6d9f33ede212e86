"""where a tenant is told of its installations beside e-mail, and what was sent there"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app import rls

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
SEALED = ("url_sealed", "secret_sealed")
READABLE = (
    "tenant_id, id, created_at, kind, name, host, preference, state, disabled_code, disabled_at, failing_since, "
    "not_before, delivered_at, created_by, updated_at"
)


def _own() -> list[sa.Column]:
    return [
        sa.Column("tenant_id", sa.Uuid(), nullable=False), sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
    ]  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "destinations",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "name", "host")),
        sa.Column("url_sealed", sa.LargeBinary(), nullable=False), sa.Column("secret_sealed", sa.LargeBinary()),
        sa.Column("preference", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False), sa.Column("disabled_code", sa.Text()),
        *(sa.Column(name, MOMENT) for name in ("disabled_at", "failing_since", "not_before", "delivered_at")),
        sa.Column("created_by", sa.Uuid()),
        sa.Column("updated_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        *_own(),
        sa.CheckConstraint("kind in ('webhook', 'slack')", name=op.f("ck_destinations_kind")),
        sa.CheckConstraint("preference in ('problems', 'action')", name=op.f("ck_destinations_preference")),
        sa.CheckConstraint("state in ('active', 'disabled')", name=op.f("ck_destinations_state")),
        sa.CheckConstraint("disabled_code in ('person', 'gone', 'failing')", name=op.f("ck_destinations_disabled_code")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_destinations_tenant_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_destinations")),
    )  # fmt: skip
    op.create_table(
        "notices",
        sa.Column("destination_id", sa.Uuid(), nullable=False), sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), server_default="waiting", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Integer()), sa.Column("error", sa.Text()), sa.Column("finished_at", MOMENT),
        *_own(),
        sa.CheckConstraint("state in ('waiting', 'delivered', 'failed')", name=op.f("ck_notices_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "destination_id"], ["destinations.tenant_id", "destinations.id"], ondelete="CASCADE",
            name=op.f("fk_notices_tenant_id_destination_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_notices")),
    )  # fmt: skip
    place = ["tenant_id", "destination_id", "id"]
    op.create_index("ix_notices_log", "notices", place)
    op.create_index("ix_notices_waiting", "notices", place, postgresql_where="state = 'waiting'")
    rights = [
        *rls.grant("destinations", "patchbay_worker"), *rls.grant("notices", "patchbay_worker, patchbay_web"),
        *rls.grant("destinations", "patchbay_web", f"SELECT ({READABLE}), INSERT, UPDATE, DELETE"),
    ]  # fmt: skip
    for statement in rights + rls.protect("destinations") + rls.protect("notices"):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("notices")
    op.drop_table("destinations")
