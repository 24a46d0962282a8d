"""Let the board of cases be sorted by what is due, and searched."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0017"
down_revision = "0016"

_COLUMNS = (
    # A node works out what older rows lack when it starts.
    ("due", sa.BigInteger(), "-1"),
    ("due_of", sa.Text(), "''"),
    ("due_clock", sa.Text(), "''"),
    ("words", sa.Text(), "''"),
)


def upgrade() -> None:
    """Add the columns to the store; the ledger has no board."""
    if not touches("store"):
        return
    for name, kind, fill in _COLUMNS:
        column = sa.Column(name, kind, nullable=False, server_default=sa.text(fill))
        op.add_column("case_board", column)


def downgrade() -> None:
    """Take them away."""
    if not touches("store"):
        return
    for name, _, _ in _COLUMNS:
        op.drop_column("case_board", name)
