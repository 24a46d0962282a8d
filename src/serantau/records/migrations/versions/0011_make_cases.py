"""Make the tables of cases."""

import sqlalchemy as sa
from alembic import op

from serantau.records.columns import Number
from serantau.records.migrations import touches

revision = "0011"
down_revision = "0010"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    """Make them."""
    if not touches("store"):
        return
    op.create_table(
        "case_entry",
        sa.Column("added", sa.BigInteger(), autoincrement=False, nullable=False),
        *map(_text, ("case_id", "id", "author", "standing")),
        sa.PrimaryKeyConstraint("added", name=op.f("pk_case_entry")),
    )
    op.create_index(
        op.f("ix_case_entry_case_id_added"), "case_entry", ["case_id", "added"]
    )
    op.create_index(op.f("ix_case_entry_standing"), "case_entry", ["standing"])
    op.create_table(
        "case_board",
        *map(_text, ("id", "name", "level")),
        *map(_big, ("opened", "changed", "closed")),
        *map(_text, ("severity", "incident_class", "owner", "offered", "mine")),
        *map(_count, ("parties", "silent", "tasks", "asks")),
        _text("embargo"),
        *map(_count, ("entries", "waiting", "flagged")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_board")),
    )
    op.create_index(
        op.f("ix_case_board_closed_changed"), "case_board", ["closed", "changed"]
    )
    op.create_table(
        "case_part",
        *map(_text, ("case_id", "party", "name", "state")),
        *map(_big, ("invited", "answered")),
        sa.Column("mail", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "party", name=op.f("pk_case_part")),
    )
    op.create_index(op.f("ix_case_part_name"), "case_part", ["name"])
    for name, columns in (
        ("case_note", (_text("text"),)),
        ("case_task", (_text("name"), _big("due"), _big("done"))),
        (
            "case_file",
            (
                *(_text("name"), _text("digest"), _big("size")),
                sa.Column("body", sa.LargeBinary(), nullable=False),
            ),
        ),
    ):
        op.create_table(
            name,
            sa.Column("n", Number, autoincrement=True, nullable=False),
            *(_text("case_id"), _big("at"), _text("actor")),
            *columns,
            sa.PrimaryKeyConstraint("n", name=op.f(f"pk_{name}")),
        )
        op.create_index(op.f(f"ix_{name}_case_id"), name, ["case_id"])


def downgrade() -> None:
    """Drop them."""
    if not touches("store"):
        return
    for name in (
        *("case_file", "case_task", "case_note"),
        *("case_part", "case_board", "case_entry"),
    ):
        op.drop_table(name)
