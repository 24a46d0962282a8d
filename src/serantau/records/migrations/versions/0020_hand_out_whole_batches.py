"""Hand out a batch's parcels once all of them are packed: each has its turn then."""

import sqlalchemy as sa
from alembic import op

from serantau.records.migrations import touches

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Give every parcel that is there the turn it had."""
    if not touches("store"):
        return
    op.create_table(
        "parcel_turn",
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("parcel", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_parcel_turn")),
    )
    op.execute(
        "INSERT INTO parcel_turn (n, member, parcel) SELECT n, member, n FROM parcel"
    )
    op.create_index(op.f("ix_parcel_turn_member_n"), "parcel_turn", ["member", "n"])
    op.create_index(
        op.f("ix_parcel_turn_parcel"), "parcel_turn", ["parcel"], unique=True
    )
    op.drop_index(op.f("ix_parcel_member_n"), table_name="parcel")


def downgrade() -> None:
    """Number the parcels by their turns; drafts go, their batches are packed anew."""
    if not touches("store"):
        return
    op.execute("DELETE FROM parcel WHERE n NOT IN (SELECT parcel FROM parcel_turn)")
    # No number is given twice, so none is in the way of another for long: first below
    # zero, where no parcel is.
    op.execute(
        "UPDATE parcel SET n = "
        "-(SELECT t.n FROM parcel_turn t WHERE t.parcel = parcel.n)"
    )
    op.execute("UPDATE parcel SET n = -n")
    op.create_index(op.f("ix_parcel_member_n"), "parcel", ["member", "n"])
    op.drop_table("parcel_turn")
