"""The tables beside contact cards: whether they proved right, and drills that ask."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text

from serantau.records.columns import Number, metadata, numbered

# Somebody here, or an answer, said of a card that it holds or does not. `way`: mail,
# phone, or person.
check = Table(
    "card_check",
    metadata,
    numbered(),
    Column("card", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("holds", Boolean, nullable=False),
    Column("said", Text, nullable=False),
    Index(None, "card", "at"),
)

# A drill asks everyone by mail and by phone until it ends. `closed`: since then nobody
# is asked or answers any more, 0 while it runs.
drill = Table(
    "card_drill",
    metadata,
    numbered(),
    Column("at", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("closed", BigInteger, nullable=False),
)

# One address or number that is asked. `sent`, `answered`: instants, 0 for not.
ask = Table(
    "card_ask",
    metadata,
    numbered(),
    Column("drill", Number, nullable=False),
    Column("card", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("tries", BigInteger, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("said", Text, nullable=False),
    Index(None, "drill"),
    Index(None, "state", "due"),
    Index(None, "card"),
)
