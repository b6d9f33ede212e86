"""what the catalog searches and filters by; words are found in spite of typos"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

LISTS = ("capabilities", "signs_in", "hosts")


def upgrade() -> None:
    # A trusted extension: who may create in the database may create it.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.add_column("listings", sa.Column("stage", sa.Text(), server_default="released", nullable=False))
    op.add_column("listings", sa.Column("featured", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("listings", sa.Column("words", sa.Text(), server_default="", nullable=False))
    op.add_column("listings", sa.Column("streams", JSONB(), server_default="[]", nullable=False))
    for name in LISTS:
        op.add_column("listings", sa.Column(name, ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.create_check_constraint("stage", "listings", "stage in ('released', 'beta', 'deprecated')")
    op.create_index("ix_listings_words", "listings", ["words"], postgresql_using="gin", postgresql_ops={"words": "gin_trgm_ops"})


def downgrade() -> None:
    op.drop_index("ix_listings_words", "listings")
    for name in ("stage", "featured", "words", "streams", *LISTS):
        op.drop_column("listings", name)
    op.execute("DROP EXTENSION pg_trgm")
