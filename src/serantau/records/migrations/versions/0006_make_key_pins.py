"""Make the table of pinned keys, and what is asked of each peer's signatures."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table and the column; peers that are here are asked what is usual."""
    if not touches("store"):
        return
    op.create_table(
        "key_pin",
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by_whom", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("party", "fingerprint", name=op.f("pk_key_pin")),
    )
    op.add_column(
        "peer",
        sa.Column("signatures", sa.Text(), nullable=False, server_default="members"),
    )


def downgrade() -> None:
    """Drop both."""
    if not touches("store"):
        return
    op.drop_column("peer", "signatures")
    op.drop_table("key_pin")
