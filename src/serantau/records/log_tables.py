"""The tables of the release log, of its tree, and of what is known of others' trees."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from serantau.records.columns import LEDGER, Number, metadata, numbered

# What a party's view consisted of, for as long as it did: JSON of marking set ->
# rule, got, expected. A release names the one it was served under.
grant = Table(
    "grant_view",
    metadata,
    numbered(),
    Column("party", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    UniqueConstraint("party", "digest"),
    schema=LEDGER,
)

# One row a page that went out. `stamps` are the runs of object stamps on it (see
# records.ledger), between `low` and `high`; `span` is the number of bits of
# high - low, by which the rows that may cover a stamp are found with one index.
# `receipt`: the digest of the one that was given for it, NULL for none. `rest`: what
# stands in the leaf for actor, request and more, once these two were erased; else NULL.
release = Table(
    "release",
    metadata,
    numbered(),
    Column("at", BigInteger, nullable=False),
    Column("party", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("collection", Integer, nullable=False),
    Column("grant_view", BigInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("span", SmallInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Column("stamps", LargeBinary, nullable=False),
    Column("receipt", Text),
    Column("purpose", Text, nullable=False, server_default=text("''")),
    Column("rest", LargeBinary),
    Index(None, "span", "low"),
    Index(None, "party", "at"),
    # Only of rows that have one: the others cost their page nothing more.
    Index(
        None,
        "receipt",
        unique=True,
        sqlite_where=text("receipt IS NOT NULL"),
        postgresql_where=text("receipt IS NOT NULL"),
    ),
    schema=LEDGER,
)


def _acts(name: str, schema: str | None) -> Table:
    """What a node's own people did (records.acts), one row each.

    body: JSON of all of it. digest: of the salt and the body. actor, body and salt are
    empty when it was erased.
    """
    return Table(
        name,
        metadata,
        numbered(),
        Column("at", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("salt", LargeBinary, nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Index(None, "actor", "at"),
        schema=schema,
    )


reading = _acts("reading", LEDGER)
# In the store, so that it is written in the transaction of what it changes.
decision = _acts("decision", None)

# The tree over the log (records.tree): one row. `id`: of this log, made with it.
# `secret`: what blinds its leaves. `size`: how many leaves it has.
log = Table(
    "log",
    metadata,
    Column("n", SmallInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    schema=LEDGER,
)

# How far each kind of row is sealed: all rows up to `row` are leaves, but for gaps.
sealed = Table(
    "sealed",
    metadata,
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("row", BigInteger, nullable=False),
    schema=LEDGER,
)

# Numbers that no row had when those behind them were sealed (PostgreSQL): they belong
# to transactions that came to nothing, or that come late.
log_gap = Table(
    "log_gap",
    metadata,
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    schema=LEDGER,
)

# Which row is which leaf. `recipient`: the party's name when it was sealed. `objects`:
# the root of its page's tree, NULL for no objects.
leaf = Table(
    "leaf",
    metadata,
    Column("n", Number, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("objects", LargeBinary),
    UniqueConstraint("kind", "row"),
    schema=LEDGER,
)

# 256 hashes of a level of the tree, one after another; the last of each level is short.
# `level` counts in steps of 8: the hashes of tiles of level 0 are leaves.
tile = Table(
    "tile",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    schema=LEDGER,
)

# Heads that this node has signed.
tree_head = Table(
    "tree_head",
    metadata,
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("signed", Text, nullable=False),
    schema=LEDGER,
)

# What stands in the tree for an object version, by its stamp: also when it is gone.
object_digest = Table(
    "object_digest",
    metadata,
    Column("n", Number, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    schema=LEDGER,
)

# Heads of other nodes' trees. `via`: the peer that showed it, the node itself or one
# that passed it on. `proven`: it belongs to the same tree as those before.
seen_head = Table(
    "seen_head",
    metadata,
    numbered(),
    Column("node", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("log", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("signed", Text, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("proven", Boolean, nullable=False),
    UniqueConstraint("node", "log", "size", "root"),
)

# A node whose log is not what it was, or does not keep what it promised. `first`,
# `second`: what proves it, as it was signed. `ended`: 0 until a person has seen to it.
alarm = Table(
    "log_alarm",
    metadata,
    numbered(),
    Column("node", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("said", Text, nullable=False),
    Column("first", Text, nullable=False),
    Column("second", Text, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "node", "ended"),
)

# Receipts for pages that came from peers. `objects`: the digests of what was on the
# page. `seq`: the leaf that proved it, NULL before.
receipt = Table(
    "receipt",
    metadata,
    numbered(),
    Column("node", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("by", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("page", Text, nullable=False),
    Column("objects", LargeBinary, nullable=False),
    Column("signed", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("seq", BigInteger),
    Column("checked", BigInteger, nullable=False),
    Column("fault", Text, nullable=False),
    Index(None, "node", "state", "n"),
)
