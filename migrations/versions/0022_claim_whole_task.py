"""a claim returns the whole task, so that nobody reads it once more"""

import runpy
from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

BEFORE = runpy.run_path(str(Path(__file__).with_name("0007_claim_without_waiting.py")))["CLAIM"]
WHOLE = BEFORE.replace(
    "task_token bigint)",
    "task_token bigint, task_kind text, task_key text, task_ref uuid, task_attempts int, task_max_attempts int)",
).replace(
    "RETURNING t.id, t.tenant_id, t.lease_token",
    "RETURNING t.id, t.tenant_id, t.lease_token, t.kind, t.key, t.ref, t.attempts, t.max_attempts",
)
NAME = "claim_task(text, text, double precision, int, int)"


def _replace(function: str) -> None:
    op.execute(f"DROP FUNCTION {NAME}")
    op.execute("GRANT CREATE ON SCHEMA public TO patchbay_lookup")
    op.execute(function)
    op.execute(f"ALTER FUNCTION {NAME} OWNER TO patchbay_lookup")
    op.execute(f"REVOKE ALL ON FUNCTION {NAME} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {NAME} TO patchbay_worker")
    op.execute("REVOKE CREATE ON SCHEMA public FROM patchbay_lookup")


def upgrade() -> None:
    _replace(WHOLE)


def downgrade() -> None:
    _replace(BEFORE)
