"""Make the tables of the release log's tree, and of what is known of others'."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from serantau.records.columns import LEDGER
from serantau.records.migrations import touches

revision = "0005"
down_revision = "0004"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make those of the ledger, and those of the store."""
    if touches(LEDGER):
        _make_tree()
    if touches("store"):
        _make_watch()


def downgrade() -> None:
    """Drop them."""
    if touches("store"):
        for name in ("receipt", "log_alarm", "seen_head"):
            op.drop_table(name)
    if touches(LEDGER):
        for name in _OF_THE_TREE:
            op.drop_table(name, schema=LEDGER)
        op.drop_index(op.f("ix_release_receipt"), table_name="release", schema=LEDGER)
        op.drop_column("release", "receipt", schema=LEDGER)


_OF_THE_TREE = (
    "object_digest",
    "tree_head",
    "tile",
    "leaf",
    "log_gap",
    "sealed",
    "log",
)


def _make_tree() -> None:
    op.add_column("release", sa.Column("receipt", sa.Text()), schema=LEDGER)
    op.create_index(
        op.f("ix_release_receipt"),
        "release",
        ["receipt"],
        unique=True,
        schema=LEDGER,
        sqlite_where=sa.text("receipt IS NOT NULL"),
        postgresql_where=sa.text("receipt IS NOT NULL"),
    )
    _make(
        "log",
        _key("n", sa.SmallInteger()),
        _text("id"),
        _bytes("secret"),
        _big("size"),
    )
    _make("sealed", _key("kind", sa.SmallInteger()), _big("row"))
    _make(
        "log_gap",
        _key("kind", sa.SmallInteger()),
        _key("first", sa.BigInteger()),
        _big("last"),
        _big("since"),
    )
    _make(
        "leaf",
        _key("n", _NUMBER),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        _big("row"),
        _text("recipient"),
        sa.Column("objects", sa.LargeBinary()),
        sa.UniqueConstraint("kind", "row", name=op.f("uq_leaf_kind_row")),
    )
    _make(
        "tile",
        _key("level", sa.SmallInteger()),
        _key("n", sa.BigInteger()),
        _bytes("hashes"),
    )
    _make(
        "tree_head",
        _key("at", sa.BigInteger()),
        _big("size"),
        _text("root"),
        _text("signed"),
    )
    _make("object_digest", _key("n", _NUMBER), _bytes("digest"))


def _make_watch() -> None:
    _make(
        "seen_head",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False, primary_key=True),
        _text("node"),
        _text("via"),
        _text("log"),
        _big("size"),
        _text("root"),
        _big("at"),
        _text("signed"),
        _big("seen"),
        sa.Column("proven", sa.Boolean(), nullable=False),
        sa.UniqueConstraint(
            "node", "log", "size", "root", name=op.f("uq_seen_head_node_log_size_root")
        ),
        schema=None,
    )
    _make(
        "log_alarm",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False, primary_key=True),
        _text("node"),
        _big("at"),
        _text("said"),
        _text("first"),
        _text("second"),
        _big("ended"),
        _text("actor"),
        _text("reason"),
        schema=None,
    )
    op.create_index(op.f("ix_log_alarm_node_ended"), "log_alarm", ["node", "ended"])
    _make(
        "receipt",
        sa.Column("n", _NUMBER, autoincrement=True, nullable=False, primary_key=True),
        _text("node"),
        _text("digest"),
        _big("at"),
        _big("by"),
        sa.Column("count", sa.Integer(), nullable=False),
        _text("page"),
        _bytes("objects"),
        _text("signed"),
        _text("state"),
        sa.Column("seq", sa.BigInteger()),
        _big("checked"),
        _text("fault"),
        sa.UniqueConstraint("digest", name=op.f("uq_receipt_digest")),
        schema=None,
    )
    op.create_index(op.f("ix_receipt_node_state_n"), "receipt", ["node", "state", "n"])


def _make(
    name: str,
    *columns: sa.Column[Any] | sa.UniqueConstraint,
    schema: str | None = LEDGER,
) -> None:
    keys = [
        column.name
        for column in columns
        if isinstance(column, sa.Column) and column.primary_key
    ]
    for column in columns:
        if isinstance(column, sa.Column):
            column.primary_key = False
    key = sa.PrimaryKeyConstraint(*keys, name=op.f(f"pk_{name}"))
    op.create_table(name, *columns, key, schema=schema)


def _key(name: str, kind: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column(name, kind, autoincrement=False, nullable=False, primary_key=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _big(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)
