"""Make the tables of what is published on behalf."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the tables of the store; the ledger has none of them."""
    if not touches("store"):
        return
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "behalf_handed",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("hand", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_behalf_handed")),
        sa.UniqueConstraint("hand", name=op.f("uq_behalf_handed_hand")),
    )
    op.create_index(
        op.f("ix_behalf_handed_party_state"), "behalf_handed", ["party", "state"]
    )
    op.create_table(
        "behalf_link",
        sa.Column("handed", number, autoincrement=False, nullable=False),
        sa.Column("original", sa.Text(), nullable=False),
        sa.Column("published", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("handed", "original", name=op.f("pk_behalf_link")),
    )
    op.create_index(op.f("ix_behalf_link_original"), "behalf_link", ["original"])
    op.create_table(
        "behalf_held",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("hand", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("published", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_behalf_held")),
        sa.UniqueConstraint("hand", name=op.f("uq_behalf_held_hand")),
    )


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    op.drop_table("behalf_held")
    op.drop_index(op.f("ix_behalf_link_original"), table_name="behalf_link")
    op.drop_table("behalf_link")
    op.drop_index(op.f("ix_behalf_handed_party_state"), table_name="behalf_handed")
    op.drop_table("behalf_handed")
