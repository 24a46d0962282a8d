"""The tables of what is published on behalf: at its origin, and at its publisher."""

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
    UniqueConstraint,
)

from serantau.records.columns import Number, metadata, numbered

# What this node handed to a coordinator. `hand`: a random id, by which both sides know
# it. `token`: sealed; proves to the coordinator that a later word comes from the same
# origin. `how`: JSON of level and edits, for the next version. `step`: how many parcels
# were made. `body`: the parcel that waits to be fetched; empty when none does.
handed = Table(
    "behalf_handed",
    metadata,
    numbered(),
    Column("hand", Text, nullable=False, unique=True),
    Column("party", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("token", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index(None, "party", "state"),
)

# The link back: which object was published as which. `version`: the text of the version
# that was handed over last.
link = Table(
    "behalf_link",
    metadata,
    Column("handed", Number, primary_key=True, autoincrement=False),
    Column("original", Text, primary_key=True),
    Column("published", Text, nullable=False),
    Column("version", Text, nullable=False),
    Index(None, "original"),
)

# What this node, a coordinator, was handed. Nothing here says by whom: `day` is
# rounded, `origin` encrypted or empty. `token`: the digest of the origin's. `body`: the
# objects that wait for a person. `published`: JSON, ids of what was published of it.
held = Table(
    "behalf_held",
    metadata,
    numbered(),
    Column("hand", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("published", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("origin", Text, nullable=False),
    UniqueConstraint("hand"),
)
