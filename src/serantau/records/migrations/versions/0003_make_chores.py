"""Make the table of what a node does by the clock."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, and find batches by when the work on them ended."""
    if not touches("store"):
        return
    op.create_table(
        "chore",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("tried", sa.BigInteger(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chore")),
    )
    op.create_index(op.f("ix_batch_ended"), "batch", ["ended"], unique=False)


def downgrade() -> None:
    """Drop both."""
    if not touches("store"):
        return
    op.drop_index(op.f("ix_batch_ended"), table_name="batch")
    op.drop_table("chore")
