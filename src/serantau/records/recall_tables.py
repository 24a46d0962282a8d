"""The tables of recalls: what was wanted back, who was told, and what they answered."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, SmallInteger, Table, Text

from serantau.records.columns import Number, metadata, numbered

# A recall, of this node's own objects (`mine`) or of others'. `hold`: what is done with
# the versions before `before` (rules.level.Recalled), 0 while it is not believed, and
# `fault` says why. `looked`: when the release log was last looked through for it.
recall = Table(
    "recall",
    metadata,
    numbered(),
    Column("digest", Text, nullable=False, unique=True),
    Column("object", Text, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("before", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("creator", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("came", BigInteger, nullable=False),
    Column("signed", Text, nullable=False),
    Column("mine", Boolean, nullable=False),
    Column("hold", SmallInteger, nullable=False),
    Column("fault", Text, nullable=False),
    Column("looked", BigInteger, nullable=False),
    Index(None, "key"),
    Index(None, "hold"),
)

# Whom it is for, and what each answered. `via`: the relay that told of it, empty where
# this node gave the object itself. `number`: a stamp, by which it is fetched; 0 where
# nobody is to be told. `versions` (JSON): what went. `changed`: a stamp, the last time
# that there was something new to hand back to whom the recall came from.
recall_party = Table(
    "recall_party",
    metadata,
    Column("recall", Number, primary_key=True, autoincrement=False),
    Column("party", Text, primary_key=True),
    Column("via", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("ways", Text, nullable=False),
    Column("got", BigInteger, nullable=False),
    Column("versions", Text, nullable=False),
    Column("fetched", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("answer", Text, nullable=False),
    Column("noted", Text, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Index(None, "party", "number"),
    Index(None, "changed"),
    Index(None, "state", "number"),
)

# From which peers a recall came, and up to which change they have the answers.
recall_source = Table(
    "recall_source",
    metadata,
    Column("recall", Number, primary_key=True, autoincrement=False),
    Column("peer", Text, primary_key=True),
    Column("sent", BigInteger, nullable=False),
)

# How far this node has fetched recalls from each peer.
recall_fetched = Table(
    "recall_fetched",
    metadata,
    Column("peer", Text, primary_key=True),
    Column("after", BigInteger, nullable=False),
)

# New versions of this node's own objects, by stamp, of which it has not been worked out
# yet whether earlier ones are to be recalled. `looked`: when that was tried, 0 never.
recall_due = Table(
    "recall_due",
    metadata,
    Column("added", BigInteger, primary_key=True, autoincrement=False),
    Column("looked", BigInteger, nullable=False),
)

# Objects that a person keeps because the law says so, recalled or not.
recall_hold = Table(
    "recall_hold",
    metadata,
    Column("object", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
