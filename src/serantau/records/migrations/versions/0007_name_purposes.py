"""Name the purpose of a release, and what parties are given something for."""

import sqlalchemy as sa
from alembic import op

from serantau.records.columns import LEDGER
from serantau.records.migrations import touches

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add both; what went before was not told for what, and stays so."""
    if touches(LEDGER):
        op.add_column(
            "release",
            sa.Column(
                "purpose", sa.Text(), nullable=False, server_default=sa.text("''")
            ),
            schema=LEDGER,
        )
    if touches("store"):
        op.add_column(
            "party",
            sa.Column(
                "purposes", sa.Text(), nullable=False, server_default=sa.text("''")
            ),
        )


def downgrade() -> None:
    """Drop them."""
    if touches("store"):
        op.drop_column("party", "purposes")
    if touches(LEDGER):
        op.drop_column("release", "purpose", schema=LEDGER)
