"""Make the tables of what a node's own people read and decided."""

import sqlalchemy as sa
from alembic import op

from serantau.records.columns import LEDGER
from serantau.records.migrations import touches

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make readings beside the release log, and decisions in the store."""
    if touches(LEDGER):
        op.add_column("release", sa.Column("rest", sa.LargeBinary()), schema=LEDGER)
        _make("reading", LEDGER)
    if touches("store"):
        _make("decision", None)


def downgrade() -> None:
    """Drop them."""
    if touches("store"):
        _drop("decision", None)
    if touches(LEDGER):
        _drop("reading", LEDGER)
        op.drop_column("release", "rest", schema=LEDGER)


def _make(name: str, schema: str | None) -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        name,
        sa.Column("n", number, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f(f"pk_{name}")),
        schema=schema,
    )
    op.create_index(op.f(f"ix_{name}_actor_at"), name, ["actor", "at"], schema=schema)


def _drop(name: str, schema: str | None) -> None:
    op.drop_index(op.f(f"ix_{name}_actor_at"), table_name=name, schema=schema)
    op.drop_table(name, schema=schema)
