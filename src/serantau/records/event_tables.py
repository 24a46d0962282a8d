"""The tables of events that are no events: questions that people keep."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from serantau.records.columns import metadata, numbered

# A question to the archive under a name. `asked`: as a page's address has it. `shared`:
# all of the node's own people see it.
question = Table(
    "event_question",
    metadata,
    numbered(),
    Column("user_account", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("asked", Text, nullable=False),
    Column("made", BigInteger, nullable=False),
    Index(None, "user_account", "name", unique=True),
    Index(None, "shared"),
)
