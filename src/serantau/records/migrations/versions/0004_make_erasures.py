"""Make the tables of erasures."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0004"
down_revision = "0003"

_COUNTS = ("events", "rejects", "batches", "originals", "parcels", "notices")


def upgrade() -> None:
    """Make the tables of the store; the ledger has none of them."""
    if not touches("store"):
        return
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "erasure",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_erasure")),
    )
    op.create_table(
        "erasure_batch",
        sa.Column("erasure", number, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("rejects", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("erasure", "digest", name=op.f("pk_erasure_batch")),
    )


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    op.drop_table("erasure_batch")
    op.drop_table("erasure")
