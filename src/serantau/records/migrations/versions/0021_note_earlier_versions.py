"""Note of each version what of its object is earlier, as far as its marking goes."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the column, and look once at each object of several versions."""
    if not touches("store"):
        return
    op.add_column(
        "object",
        sa.Column("prior", sa.SmallInteger(), nullable=False, server_default="0"),
    )
    earlier = (
        "EXISTS (SELECT 1 FROM object p WHERE p.key = object.key "
        "AND p.modified < object.modified"
    )
    op.execute(
        f"UPDATE object SET prior = CASE WHEN {earlier} "
        f"AND p.slot / 2 = object.slot / 2) THEN 1 ELSE 2 END WHERE {earlier})"
    )


def downgrade() -> None:
    """Drop it."""
    if not touches("store"):
        return
    op.drop_column("object", "prior")
