"""Make the table of questions to the archive of events that people keep."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make the table in the store."""
    if not touches("store"):
        return
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "event_question",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("user_account", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_event_question")),
    )
    op.create_index(
        op.f("ix_event_question_user_account_name"),
        "event_question",
        ["user_account", "name"],
        unique=True,
    )
    op.create_index(op.f("ix_event_question_shared"), "event_question", ["shared"])


def downgrade() -> None:
    """Drop it."""
    if not touches("store"):
        return
    op.drop_table("event_question")
