"""Find what waits for somebody without reading what does not."""

from alembic import op

from serantau.records.migrations import touches

revision = "0018"
down_revision = "0017"

_INDEXES = (
    ("quarantine", ["rule", "n"]),
    ("recall", ["hold"]),
    ("recall_party", ["state", "number"]),
)


def upgrade() -> None:
    """Add the indexes to the store."""
    if not touches("store"):
        return
    for table, columns in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    for table, columns in _INDEXES:
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)
