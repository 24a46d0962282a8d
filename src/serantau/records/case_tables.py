"""The tables of cases: which entries are whose, the board, and what never leaves."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from serantau.records.columns import metadata, numbered

# Entries of cases among the objects, by stamp. `standing`: how it stands with its
# signature; only what is `valid` is folded.
entry = Table(
    "case_entry",
    metadata,
    Column("added", BigInteger, primary_key=True, autoincrement=False),
    Column("case_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("standing", Text, nullable=False),
    Index(None, "case_id", "added"),
    Index(None, "standing"),
)

# One row a case: what the board shows, of the folded state. Drop it and fold anew.
# `due`: the first instant that something is due, 0 for never, -1 when that has not been
# worked out yet; `due_of`: of whom. `words`: what is searched, folded.
board = Table(
    "case_board",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("opened", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("closed", BigInteger, nullable=False),
    Column("severity", Text, nullable=False),
    Column("incident_class", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("offered", Text, nullable=False),
    Column("mine", Text, nullable=False),
    Column("parties", Integer, nullable=False),
    Column("silent", Integer, nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("asks", Integer, nullable=False),
    Column("embargo", Text, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    Column("flagged", Integer, nullable=False),
    Column("due", BigInteger, nullable=False, server_default=text("-1")),
    Column("due_of", Text, nullable=False, server_default=text("''")),
    Column("due_clock", Text, nullable=False, server_default=text("''")),
    Column("words", Text, nullable=False, server_default=text("''")),
    Index(None, "closed", "changed"),
)

# Who is in a case, by identity, of the folded state. `name`: of the party here, empty
# where this node knows none. `invited`, `answered`: instants, 0 for not.
part = Table(
    "case_part",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("party", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("invited", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("mail", Boolean, nullable=False),
    Index(None, "name"),
)

# What a party keeps for itself beside a case. Nothing of it is an object, and nothing
# that gives to others reads these tables.
note = Table(
    "case_note",
    metadata,
    numbered(),
    Column("case_id", Text, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
)

task = Table(
    "case_task",
    metadata,
    numbered(),
    Column("case_id", Text, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
)

file = Table(
    "case_file",
    metadata,
    numbered(),
    Column("case_id", Text, nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# How it stands with the steps of a clock that has run out, where it is this node's to
# take them. `since`: when the clock began. `letter`: the key of what was handed over.
# `failed`: by whom it was not taken, as JSON. Nothing gives it to others.
step = Table(
    "case_step",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("party", Text, primary_key=True),
    Column("clock", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("worker", Text, nullable=False),
    Column("card", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("letter", Text, nullable=False),
    Column("tried", BigInteger, nullable=False),
    Column("wait", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("unsure", Integer, nullable=False),
    Column("failed", Text, nullable=False),
    Column("said", Text, nullable=False),
    Index(None, "card"),
    Index(None, "letter"),
)
