"""List the marking definitions, and the circles that they name."""

import orjson
import sqlalchemy as sa
from alembic import op

from serantau.records.columns import Number
from serantau.records.migrations import touches
from serantau.rules.marking import read_marking

revision = "0015"
down_revision = "0014"

_ROWS = 1000


def upgrade() -> None:
    """Make the list, of what is held by now."""
    if not touches("store"):
        return
    table = op.create_table(
        "definition",
        sa.Column("added", Number, autoincrement=False, nullable=False),
        sa.Column("circle", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("added", "circle", name=op.f("pk_definition")),
    )
    op.create_index(
        op.f("ix_definition_circle_added"), "definition", ["circle", "added"]
    )
    store = op.get_bind()
    find = sa.text(
        "SELECT o.added, o.body FROM object o JOIN word w ON w.n = o.type "
        "WHERE w.text = 'marking-definition'"
    )
    for some in store.execute(find).partitions(_ROWS):
        rows = []
        for added, body in some:
            audience = read_marking(orjson.loads(bytes(body))).audience
            circles = audience.circles if audience else frozenset()
            rows += [{"added": added, "circle": each} for each in ("", *circles)]
        op.bulk_insert(table, rows)


def downgrade() -> None:
    """Drop it."""
    if not touches("store"):
        return
    op.drop_index(op.f("ix_definition_circle_added"), table_name="definition")
    op.drop_table("definition")
