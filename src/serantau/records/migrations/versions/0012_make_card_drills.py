"""Make the tables beside contact cards."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the tables of the store; the ledger has none of them."""
    if not touches("store"):
        return
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "card_check",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_card_check")),
    )
    op.create_index(op.f("ix_card_check_card_at"), "card_check", ["card", "at"])
    op.create_table(
        "card_drill",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_card_drill")),
    )
    op.create_table(
        "card_ask",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("drill", number, nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_card_ask")),
    )
    op.create_index(op.f("ix_card_ask_card"), "card_ask", ["card"])
    op.create_index(op.f("ix_card_ask_drill"), "card_ask", ["drill"])
    op.create_index(op.f("ix_card_ask_state_due"), "card_ask", ["state", "due"])


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    for name in ("ix_card_ask_state_due", "ix_card_ask_drill", "ix_card_ask_card"):
        op.drop_index(op.f(name), table_name="card_ask")
    op.drop_table("card_ask")
    op.drop_table("card_drill")
    op.drop_index(op.f("ix_card_check_card_at"), table_name="card_check")
    op.drop_table("card_check")
