"""Make the table of the steps that the clocks of cases take."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the table of the store; the ledger has none of it."""
    if not touches("store"):
        return
    op.create_table(
        "case_step",
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("letter", sa.Text(), nullable=False),
        sa.Column("tried", sa.BigInteger(), nullable=False),
        sa.Column("wait", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("unsure", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "party", "clock", name=op.f("pk_case_step")),
    )
    op.create_index(op.f("ix_case_step_card"), "case_step", ["card"])
    op.create_index(op.f("ix_case_step_letter"), "case_step", ["letter"])


def downgrade() -> None:
    """Drop it."""
    if not touches("store"):
        return
    for name in ("ix_case_step_letter", "ix_case_step_card"):
        op.drop_index(op.f(name), table_name="case_step")
    op.drop_table("case_step")
