"""Make the tables of recalls."""

import sqlalchemy as sa
from alembic import op

from serantau.records.columns import Number
from serantau.records.migrations import touches

revision = "0009"
down_revision = "0008"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    """Make them."""
    if not touches("store"):
        return
    op.create_table(
        "recall",
        sa.Column("n", Number, autoincrement=True, nullable=False),
        *(_text("digest"), _text("object"), _big("key"), _big("before")),
        *(_text("kind"), _text("creator"), _text("node"), _text("reason")),
        *(_big("at"), _big("came"), _text("signed")),
        sa.Column("mine", sa.Boolean(), nullable=False),
        sa.Column("hold", sa.SmallInteger(), nullable=False),
        *(_text("fault"), _big("looked")),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_recall")),
        sa.UniqueConstraint("digest", name=op.f("uq_recall_digest")),
    )
    op.create_index(op.f("ix_recall_key"), "recall", ["key"])
    op.create_table(
        "recall_party",
        sa.Column("recall", Number, autoincrement=False, nullable=False),
        *(_text("party"), _text("via"), _big("number"), _text("ways"), _big("got")),
        *(_text("versions"), _big("fetched"), _text("state"), _big("answered")),
        *(_text("answer"), _text("noted"), _big("changed")),
        sa.PrimaryKeyConstraint("recall", "party", "via", name=op.f("pk_recall_party")),
    )
    op.create_index(
        op.f("ix_recall_party_party_number"), "recall_party", ["party", "number"]
    )
    op.create_index(op.f("ix_recall_party_changed"), "recall_party", ["changed"])
    op.create_table(
        "recall_source",
        sa.Column("recall", Number, autoincrement=False, nullable=False),
        *(_text("peer"), _big("sent")),
        sa.PrimaryKeyConstraint("recall", "peer", name=op.f("pk_recall_source")),
    )
    op.create_table(
        "recall_fetched",
        *(_text("peer"), _big("after")),
        sa.PrimaryKeyConstraint("peer", name=op.f("pk_recall_fetched")),
    )
    op.create_table(
        "recall_due",
        sa.Column("added", sa.BigInteger(), autoincrement=False, nullable=False),
        _big("looked"),
        sa.PrimaryKeyConstraint("added", name=op.f("pk_recall_due")),
    )
    op.create_table(
        "recall_hold",
        *(_text("object"), _text("reason"), _text("actor"), _big("at")),
        sa.PrimaryKeyConstraint("object", name=op.f("pk_recall_hold")),
    )


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    for name in (
        *("recall_hold", "recall_due", "recall_fetched", "recall_source"),
        *("recall_party", "recall"),
    ):
        op.drop_table(name)
