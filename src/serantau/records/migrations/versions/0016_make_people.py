"""Make the tables of people at the pages."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0016"
down_revision = "0015"

_INDEXES = (
    ("session", ("digest",), True),
    ("session", ("user_account",), False),
    ("ticket", ("digest",), True),
    ("ticket", ("user_account", "purpose"), False),
    ("factor", ("user_account",), False),
    ("factor", ("kind", "key"), True),
)


def upgrade() -> None:
    """Make the tables of the store; the ledger has none of them."""
    if not touches("store"):
        return
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "session",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("user_account", sa.Integer(), nullable=False),
        sa.Column("ways", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_session")),
    )
    op.create_table(
        "ticket",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("user_account", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_ticket")),
    )
    op.create_table(
        "factor",
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("user_account", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_factor")),
    )
    op.create_table(
        "person",
        sa.Column("user_account", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_account", name=op.f("pk_person")),
    )
    for name, columns, unique in _INDEXES:
        index = op.f(f"ix_{name}_{'_'.join(columns)}")
        op.create_index(index, name, list(columns), unique=unique)


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    for name, columns, _ in _INDEXES:
        op.drop_index(op.f(f"ix_{name}_{'_'.join(columns)}"), table_name=name)
    for name in ("person", "factor", "ticket", "session"):
        op.drop_table(name)
