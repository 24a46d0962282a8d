"""Make the tables of parcels."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables of the store; the ledger has none of them."""
    if not touches("store"):
        return
    op.create_table(
        "parcel",
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_parcel")),
    )
    op.create_index(op.f("ix_parcel_member_n"), "parcel", ["member", "n"], unique=False)
    op.create_index(op.f("ix_parcel_batch"), "parcel", ["batch"], unique=False)
    op.create_table(
        "parcel_asked",
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_parcel_asked")),
    )
    op.create_table(
        "parcel_fetched",
        sa.Column("peer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("peer", name=op.f("pk_parcel_fetched")),
    )


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    op.drop_table("parcel_fetched")
    op.drop_table("parcel_asked")
    op.drop_index(op.f("ix_parcel_batch"), table_name="parcel")
    op.drop_index(op.f("ix_parcel_member_n"), table_name="parcel")
    op.drop_table("parcel")
