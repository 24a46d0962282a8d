"""Make the tables of cases by mail."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0014"
down_revision = "0013"

_INDEXES = (
    ("case_mail_thread", ("case_id", "party"), True),
    ("case_mail_thread", ("token",), True),
    ("case_mail_letter", ("thread",), False),
    ("case_mail_letter", ("state", "due"), False),
    ("case_mail_letter", ("key",), False),
    ("case_mail_letter", ("card",), False),
    ("case_mail_in", ("thread", "at"), False),
    ("case_mail_in", ("state",), False),
)


def upgrade() -> None:
    """Make the tables of the store; the ledger has none of them."""
    if not touches("store"):
        return
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "case_mail_thread",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("last", sa.Text(), nullable=False),
        sa.Column("theirs", sa.Text(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("trouble_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_case_mail_thread")),
    )
    op.create_table(
        "case_mail_letter",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("thread", number, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("clear", sa.Boolean(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_case_mail_letter")),
    )
    op.create_table(
        "case_mail_in",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("thread", number, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("entries", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_case_mail_in")),
    )
    for table, columns, unique in _INDEXES:
        name = op.f(f"ix_{table}_{'_'.join(columns)}")
        op.create_index(name, table, [*columns], unique=unique)


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    for table, columns, _ in reversed(_INDEXES):
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)
    for name in ("case_mail_in", "case_mail_letter", "case_mail_thread"):
        op.drop_table(name)
